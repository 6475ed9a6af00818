/*
 * row_writer.h
 *	  Inserting rows into the extension's tables without the executor.
 */
#ifndef COMMERCE_ROW_WRITER_H
#define COMMERCE_ROW_WRITER_H

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"

typedef struct RowWriter
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;
	int			ncolumns;		/* how many the caller fills */
	ExprState **defaults;		/* of the others; NULL: there is none */
	bool		fires_after;	/* has triggers that fire after rows */
} RowWriter;

/* Opens a table of schema commerce of which the caller fills the first ncolumns columns. */
extern void row_writer_open(RowWriter *writer, const char *table, int ncolumns);

/* Inserts one row; nulls may be NULL when no value is null. */
extern void row_writer_insert(RowWriter *writer, const Datum *values, const bool *nulls);

/* Fires what is to fire after the rows, and makes them visible to the commands that follow. */
extern void row_writer_close(RowWriter *writer);

/* The three in one, for a single row. */
extern void row_insert(const char *table, int ncolumns, const Datum *values, const bool *nulls);

/* As row_insert, and returns the row as a composite datum in the current memory context. */
extern Datum row_insert_returning(const char *table, int ncolumns, const Datum *values, const bool *nulls);

#endif
