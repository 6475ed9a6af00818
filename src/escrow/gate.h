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

/*
 * Makes journals whose transaction ids are not of this cluster's past its own.  Holds the gate against
 * everybody until the transaction ends; gate_foreign() is true afterwards.
 */
extern void gate_rebase(void);

/*
 * sql_query() of a statement of our own that updates tables which gate_foreign_write() guards.
 * What somebody's triggers on these tables write is not ours.
 */
extern SqlResult gate_own_write(SqlStatement *statement, const Datum *values);

/* Whether the trigger that runs was fired by a statement of gate_own_write() itself. */
extern bool gate_is_own_write(void);

#endif
