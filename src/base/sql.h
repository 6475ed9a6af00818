/*
 * sql.h
 *	  SQL statements that are planned once per backend.
 */
#ifndef COMMERCE_SQL_H
#define COMMERCE_SQL_H

#include "executor/spi.h"

#include "base/catalog.h"

#define SQL_MAX_ARGS 32

/* What a statement sees. */
typedef enum SqlSnapshot
{
	SQL_STATEMENT,				/* what any statement sees */
	SQL_ACTIVE,					/* it only reads, under the snapshot that is active */

	/*
	 * What is committed at this moment, also when the transaction's isolation level would not show it, as
	 * foreign-key checks do.
	 */
	SQL_LATEST,
} SqlSnapshot;

typedef struct SqlStatement
{
	const char *sql;			/* every name qualified; values bound as $1 … */
	int			nargs;
	Oid			argtypes[SQL_MAX_ARGS];
	SqlSnapshot snapshot;
	SPIPlanPtr	plan;			/* filled at first use, kept for the backend's life */
} SqlStatement;

/* The values of a statement's parameters. */
#define SQL_ARGS(...) ((Datum []) {__VA_ARGS__})

extern void sql_init(void);

/* Executes a statement, and answers how many rows it gave or changed. */
extern uint64 sql_do(SqlStatement *statement, const Datum *values);

/* Whether it gave or changed any. */
extern bool sql_exists(SqlStatement *statement, const Datum *values);

/* Its first row's only column; false when there is no row. */
extern bool sql_get_int64(SqlStatement *statement, const Datum *values, int64 *value);

/* The first column of its one row, in the current memory; nulls as in SPI_execute_plan, or NULL. */
extern Datum sql_get_datum(SqlStatement *statement, const Datum *values, const char *nulls, bool *isnull);

/* The same of a column that is a row, an array or jsonb, unpacked, and not null. */
extern Datum sql_get_row(SqlStatement *statement, const Datum *values);

/* The only column (bigint) of its *n rows, in the current memory. */
extern int64 *sql_ids(SqlStatement *statement, const Datum *values, int *n);

/* The rows of a statement, in the memory that was current. */
typedef struct SqlResult
{
	uint64		n;
	uint64		next;			/* row */
	int			column;			/* that was read last, from 1 */
	SPITupleTable *table;
} SqlResult;

extern SqlResult sql_query(SqlStatement *statement, const Datum *values);
extern SqlResult sql_query_with_nulls(SqlStatement *statement, const Datum *values, const char *nulls);

/* Goes to the next row; false when there is none. */
extern bool result_next(SqlResult *result);

/* A column of the row, by its name; fastest in the order of the columns. */
extern Datum result_datum(SqlResult *result, const char *column, bool *isnull);
extern bool result_is_null(SqlResult *result, const char *column);
extern bool result_bool(SqlResult *result, const char *column);	/* null is false */
extern int32 result_int32(SqlResult *result, const char *column);	/* null is 0 */
extern int64 result_int64(SqlResult *result, const char *column);	/* null is 0; 64-bit transaction ids too */
extern TimestampTz result_time(SqlResult *result, const char *column);	/* null is 0 */
extern char *result_text(SqlResult *result, const char *column);	/* any type's output; NULL for null */
extern int	result_label(SqlResult *result, const char *column, CatalogType type);	/* must not be null */

/* A value of variable length (a row, an array, jsonb), unpacked; must not be null. */
extern Datum result_varlena(SqlResult *result, const char *column);

/* An array of type bigint[]. */
extern Datum sql_int8_array(const int64 *values, int n);

#endif
