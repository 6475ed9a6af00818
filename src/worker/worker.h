/*
 * worker.h
 *	  The background workers "commerce maintenance".
 */
#ifndef COMMERCE_WORKER_H
#define COMMERCE_WORKER_H

/* Called from _PG_init: registers the launcher when the library is being preloaded. */
extern void worker_init(void);

/*
 * Tells that a transaction of this database has committed something: events to be delivered, entries to
 * be folded, orders that will expire.  Called after the commit; cheap, and does not throw.
 */
extern void worker_wake(void);

#endif
