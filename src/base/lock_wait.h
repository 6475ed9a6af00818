/*
 * lock_wait.h
 *	  Waiting for a lock for a while, to see afterwards whether what was waited for has come another way.
 */
#ifndef COMMERCE_LOCK_WAIT_H
#define COMMERCE_LOCK_WAIT_H

#include "datatype/timestamp.h"

/* When lock_timeout ends a series of waits that begins now; 0: it does not. */
extern TimestampTz lock_wait_end(void);

/* How many ms are left until the end, at most `most`; raises the lock timeout when none. */
extern long lock_wait_left(TimestampTz end, long most);

/*
 * Calls a function that waits for locks, and gives back what it has locked.  Returns false when that took
 * longer than deadlock_timeout: deadlocks are found, and raised, before.
 */
extern bool lock_wait(void (*function) (const void *arg), const void *arg, TimestampTz end);

#endif
