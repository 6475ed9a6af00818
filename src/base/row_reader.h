/*
 * row_reader.h
 *	  Reading rows of the extension's tables by an index, without the executor.
 */
#ifndef COMMERCE_ROW_READER_H
#define COMMERCE_ROW_READER_H

#include "access/genam.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

#include "base/catalog.h"

typedef struct RowReader
{
	Relation	rel;
	LOCKMODE	lock;			/* of the table: AccessShareLock goes when the reading ends, RowShareLock stays; NoLock: the
								 * table is the caller's, who closes it */
	Relation	index;			/* NULL: there was no need for it, and there is no scan */
	IndexScanDesc scan;
	TupleTableSlot *slot;
	int			nkeys;
} RowReader;

/* What is read from here to PopActiveSnapshot() is read as by one statement that begins now. */
extern void row_push_snapshot(void);

/* The same by one that sees what is committed now, whatever the isolation level. */
extern void row_push_latest_snapshot(void);

/*
 * Opens a table to be read, under the active snapshot, by the first nkeys columns of an index.
 */
extern void row_reader_open(RowReader *reader, CatalogRelation table, CatalogRelation index, int nkeys);

/* The same of a table that has no rows in many shops: then no index is opened, and there is nothing to be found. */
extern void row_reader_open_if_any(RowReader *reader, CatalogRelation table, CatalogRelation index, int nkeys);

/* Where a row was found last: a static variable, for a row that is read again and again, or twice by one call. */
typedef struct RowPlace
{
	int64		id;
	ItemPointerData tid;
} RowPlace;

/*
 * Opens a table to be read, under the active snapshot, and goes to the row with an id, the column of a unique index, as
 * often as one likes: false when there is none.  Looks first where the row was found last.
 */
extern void row_reader_open_table(RowReader *reader, CatalogRelation table);
extern bool row_reader_go_to(RowReader *reader, CatalogRelation index, int column, int64 id, RowPlace *place);

/* The two in one, for a single row; to_lock: it may be locked by row_lock_found(). */
extern bool row_reader_find(RowReader *reader, CatalogRelation table, CatalogRelation index, int column, int64 id,
							RowPlace *place, bool to_lock);

/* The same of a table that the caller keeps open. */
extern bool row_reader_find_in(RowReader *reader, Relation rel, CatalogRelation index, int column, int64 id, RowPlace *place);

/* Goes before the first row with these values of columns that are bigint. */
extern void row_reader_seek(RowReader *reader, const int64 *keys);

/* The same by columns that are text, and by one that is name. */
extern void row_reader_seek_texts(RowReader *reader, const Datum *values);
extern void row_reader_seek_name(RowReader *reader, const char *name);

/* Goes before the first row with a value of a column that is uuid. */
extern void row_reader_seek_uuid(RowReader *reader, Datum value);

/* Goes before the first row of those up to a moment, by a column that is timestamptz. */
extern void row_reader_seek_until(RowReader *reader, TimestampTz until);

/* Goes to the next row; false when there is none. */
extern bool row_reader_next(RowReader *reader);

extern void row_reader_close(RowReader *reader);

/* A column, as schema.h names it, of the row; what is not passed by value lives until the next row. */
extern Datum row_datum(RowReader *reader, int column, bool *isnull);
extern bool row_bool(RowReader *reader, int column);	/* null is false */
extern int32 row_int32(RowReader *reader, int column);	/* null is 0 */
extern int64 row_int64(RowReader *reader, int column);	/* null is 0 */
extern bool row_is_null(RowReader *reader, int column);

/* A value of variable length (text, jsonb), unpacked and in the current memory context; NULL for null. */
extern struct varlena *row_varlena(RowReader *reader, int column);

/* The same as a string of its own in the current memory context; NULL for null. */
extern char *row_text(RowReader *reader, int column);

/* The label that an enum's column has; must not be null. */
extern int	row_label(RowReader *reader, int column, CatalogType type);

#endif
