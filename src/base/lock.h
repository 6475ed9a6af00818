/*
 * lock.h
 *	  Locks of our own on things that are no rows.
 */
#ifndef COMMERCE_LOCK_H
#define COMMERCE_LOCK_H

/*
 * What is locked.  These are advisory locks of the database, and the numbers are the fourth field of their
 * tags, of which PostgreSQL's own functions use 1 and 2 (pg_locks shows it as objsubid).
 * delivering_session() knows that of subscriptions.
 */
typedef enum LockKind
{
	COMMERCE_LOCK_FOLD = 11,
	COMMERCE_LOCK_IDEMPOTENCY,
	COMMERCE_LOCK_SALES,
	COMMERCE_LOCK_JOB,
	COMMERCE_LOCK_SUBSCRIPTION,
	COMMERCE_LOCK_LOAD_STOCK,
	COMMERCE_LOCK_LOAD_QUOTA,
	COMMERCE_LOCK_USER,
	COMMERCE_LOCK_TRANSFER,
} LockKind;

/*
 * Takes the lock on a key (0 where there is only one thing) until the transaction ends or lock_release() gives
 * it back; waits for other sessions that have it.
 */
extern void lock_take(LockKind kind, uint64 key);

/* The same, beside others who take it so; who has it alone keeps them out, and they him. */
extern void lock_take_shared(LockKind kind, uint64 key);

/* lock_take() without waiting; false when another session has it. */
extern bool lock_try(LockKind kind, uint64 key);

extern void lock_release(LockKind kind, uint64 key);

/* As lock_try(), for the session: until it has been given back as often as taken, or the session ends. */
extern bool lock_try_session(LockKind kind, uint64 key);

/* Whether this session has the lock. */
extern bool lock_is_mine(LockKind kind, uint64 key);

/* Gives it back; false, with a warning, when this session does not have it. */
extern bool lock_release_session(LockKind kind, uint64 key);

#endif
