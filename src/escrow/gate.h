/*
 * gate.h
 *	  The gate between the extension's operations and everybody else's writes.
 */
#ifndef COMMERCE_GATE_H
#define COMMERCE_GATE_H

#include "base/sql.h"

/*
 * What every writing operation does first: refuses a read-only transaction and a server in recovery,
 * makes sure that the transaction ids in the journals are this cluster's, and takes the gate until the
 * transaction ends.
 */
extern void gate_enter(const char *operation);

/* The outbox's era; valid after gate_enter(). */
extern int64 gate_era(void);

/*
 * True when the running transaction has written past the extension.  It holds the gate against everybody
 * until it ends, and what it wrote is in no counter.
 */
extern bool gate_foreign(void);

/* Raises SERVICE_BUSY, and has the worker see what has to be done: what is here came from another cluster. */
pg_noreturn extern void gate_refuse_foreign(void);

/* Whether operations are refused for that reason, and whether what is to be done about it has *begun. */
extern bool gate_needs_rebase(bool *begun);

/*
 * Does the next batch of making it this cluster's, *done, and answers whether there may be more.  Each is for
 * a transaction of its own.
 */
extern bool gate_rebase_batch(char **done);

/*
 * sql_query() of a statement of our own that updates tables which gate_foreign_write() guards.
 * What somebody's triggers on these tables write is not ours.
 */
extern SqlResult gate_own_write(SqlStatement *statement, const Datum *values);

/* Whether the trigger that runs was fired by a statement of gate_own_write() itself. */
extern bool gate_is_own_write(void);

#endif
