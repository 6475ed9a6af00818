/*
 * row_writer.h
 *	  Inserting rows into the extension's tables without the executor; row_update.c changes them by it.
 */
#ifndef COMMERCE_ROW_WRITER_H
#define COMMERCE_ROW_WRITER_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "base/catalog.h"

#define ROW_COLUMNS	32			/* that a row can have, at most */
#define ROWS_AT_ONCE	64		/* that wait to be written together, at most */

typedef struct RowWriter
{
	Relation	rel;
	struct PreparedTable *prepared;
	struct RowWork *work;		/* which has the next two */
	EState	   *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;		/* of the row that was written last */
	int			nwaiting;		/* rows that are to be written */
	bool		one_by_one;		/* rows do not wait: they may change on their way, and read those before them */
	int			ncolumns;		/* how many the caller fills */
	bool		fires_after;	/* has triggers that fire after rows */
	bool		is_plain;		/* no trigger fires, no column is generated, and it is no partition */
} RowWriter;

/*
 * A row to be inserted: Row row = {0}, and then a value for each column that is not null.  Columns are those of
 * schema.h.
 */
typedef struct Row
{
	Datum		values[ROW_COLUMNS];
	bool		filled[ROW_COLUMNS];
} Row;

static inline void
row_put(Row *row, int column, Datum value)
{
	row->values[column - 1] = value;
	row->filled[column - 1] = true;
}

static inline void
row_put_bool(Row *row, int column, bool value)
{
	row_put(row, column, BoolGetDatum(value));
}

static inline void
row_put_int32(Row *row, int column, int32 value)
{
	row_put(row, column, Int32GetDatum(value));
}

static inline void
row_put_int64(Row *row, int column, int64 value)
{
	row_put(row, column, Int64GetDatum(value));
}

/* 0 is null. */
static inline void
row_put_id(Row *row, int column, int64 id)
{
	if (id != 0)
		row_put_int64(row, column, id);
}

/* 0 is null. */
static inline void
row_put_time(Row *row, int column, TimestampTz at)
{
	if (at != 0)
		row_put(row, column, TimestampTzGetDatum(at));
}

/* A text, array, jsonb; NULL is null. */
static inline void
row_put_varlena(Row *row, int column, const void *value)
{
	if (value != NULL)
		row_put(row, column, PointerGetDatum(value));
}

/* NULL is null. */
extern void row_put_text(Row *row, int column, const char *text);

static inline void
row_put_label(Row *row, int column, CatalogType type, int label)
{
	row_put(row, column, catalog_label(type, label));
}

/* Opens a table of which rows have values for the first ncolumns columns. */
extern void row_writer_open(RowWriter *writer, CatalogRelation table, int ncolumns);

/* Opens the indexes that a row has an entry in, or all (NULL). */
extern void row_writer_open_indexes(RowWriter *writer, TupleTableSlot *slot);

/*
 * Raises an error unless a row, of which a slot has the values of all columns, keeps to the table's constraints.
 * ExecConstraints(), which looks at each column, has to be asked for the error only.
 */
extern void row_writer_require_allowed(RowWriter *writer, TupleTableSlot *slot);

/* Raises an error unless the slot's row has been written: a trigger may keep it out. */
extern void row_writer_require_written(RowWriter *writer);

/* The row is written by row_writer_close() at the latest, and what its values point to must live until then. */
extern void row_writer_insert(RowWriter *writer, const Row *row);

/* Writes all rows, and returns the last as a composite datum in the current memory context. */
extern Datum row_writer_row(RowWriter *writer);

/* Writes all rows, fires what is to fire after them, and makes them visible to the commands that follow. */
extern void row_writer_close(RowWriter *writer);

/* The three in one, for a single row. */
extern void row_insert(CatalogRelation table, int ncolumns, const Row *row);

/* As row_insert, and returns the row as a composite datum in the current memory context. */
extern Datum row_insert_returning(CatalogRelation table, int ncolumns, const Row *row);

#endif
