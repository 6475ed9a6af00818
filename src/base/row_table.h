/*
 * row_table.h
 *	  What a table's definition asks of a row that is written without the executor.
 */
#ifndef COMMERCE_ROW_TABLE_H
#define COMMERCE_ROW_TABLE_H

#include "nodes/execnodes.h"
#include "utils/relcache.h"

#include "base/catalog.h"

/* That a column is to be null, or not to be. */
typedef struct NullColumn
{
	int			place;			/* in a row, from 0 */
	bool		null;
} NullColumn;

/* Of an index of a table, in the order of the relation's list. */
typedef struct PreparedIndex
{
	Oid			oid;
	IndexInfo  *info;			/* to be copied, with its predicate and expressions compiled */
	int			ntests;			/* how many of the predicate's conditions are that a column is null, or is not */
	NullColumn *tests;
	bool		tests_alone;	/* it has no others */
} PreparedIndex;

typedef struct PreparedTable
{
	MemoryContext context;		/* of this, and of the executor state the expressions live in */
	int			nchecks;
	ExprState **checks;			/* of each CHECK constraint */
	int			nrequired;
	int		   *required;		/* places of columns that must not be null */
	ExprState  *partition;		/* of the partition's bounds, or NULL */
	ExprState **defaults;		/* of each column; NULL: there is none */
	bool	   *left_out;		/* of each trigger */
	bool		has_triggers;	/* that may fire */
	bool		has_generated;	/* columns, which are stored */
	bool		has_domains;	/* as types of columns, of which defaults and constraints are the type's */
	int			nindexes;
	PreparedIndex *indexes;
	struct RowWork *idle;		/* left from the last time, below context; or NULL */
} PreparedTable;

/*
 * What is compiled of a table that is open and locked; ncolumns: those that the extension writes.  It lives until the
 * transaction ends, at least.
 */
extern PreparedTable *row_table_prepare(CatalogRelation table, Relation rel, int ncolumns);

/* Whether a row, of which a slot has the values of all columns and which the context has, too, has an entry in an index. */
extern bool row_table_has_entry(const PreparedIndex *index, const TupleTableSlot *slot, ExprContext *context);

/* Whether such a row has what it must have, and keeps to all CHECK constraints; the context is given the row. */
extern bool row_table_allows(const PreparedTable *table, TupleTableSlot *slot, ExprContext *context);

#endif
