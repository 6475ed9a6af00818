/*
 * sql.h
 *	  SQL statements that are planned once per backend.
 */
#ifndef COMMERCE_SQL_H
#define COMMERCE_SQL_H

#include "executor/spi.h"

#define SQL_MAX_ARGS 16

typedef struct SqlStatement
{
	const char *sql;			/* every name qualified; values bound as $1 … */
	int			nargs;
	Oid			argtypes[SQL_MAX_ARGS];
	SPIPlanPtr	plan;			/* filled at first use, kept for the backend's life */
} SqlStatement;

extern void sql_init(void);

/*
 * Executes a statement within SPI_connect() … SPI_finish() and returns how many rows it gave or
 * changed; the rows are in SPI_tuptable.  nulls as in SPI_execute_plan, or NULL.
 */
extern uint64 sql_execute(SqlStatement *statement, Datum *values, const char *nulls);

/* The same for a statement that only reads, under the snapshot that is active. */
extern uint64 sql_read(SqlStatement *statement, Datum *values, const char *nulls);

/*
 * The same under a snapshot taken now, which sees what is committed at this moment also when the
 * transaction's isolation level would not (as foreign-key checks do it).
 */
extern uint64 sql_execute_latest(SqlStatement *statement, Datum *values, const char *nulls);

/*
 * Executes a statement, and answers the first column (bigint) of its *n rows in the current memory.  Connects
 * by itself.
 */
extern int64 *sql_ids(SqlStatement *statement, Datum *values, int *n);

/* Column col (from 1) of row number row (from 0) of the last result. */
extern Datum sql_datum(uint64 row, int col, bool *isnull);
extern int64 sql_int64(uint64 row, int col);	/* must not be null */
extern TimestampTz sql_time(uint64 row, int col);	/* must not be null */
extern bool sql_bool(uint64 row, int col);	/* null is false */
extern bool sql_is_null(uint64 row, int col);
extern char *sql_text(uint64 row, int col); /* NULL for null; lives until SPI_finish() */

/*
 * A value of variable length (a row, an array, jsonb), unpacked, in the memory that was current at
 * SPI_connect(); must not be null.
 */
extern Datum sql_transfer(uint64 row, int col);

/* An array of type bigint[]. */
extern Datum sql_int8_array(const int64 *values, int n);

/* OIDs of the extension's own objects. */
extern Oid	commerce_relation(const char *name);
extern Oid	commerce_trigger_function(const char *name);
extern Oid	commerce_enum_value(const char *type, const char *label);

/* Next value of one of the extension's sequences. */
extern int64 commerce_nextval(const char *sequence);

#endif
