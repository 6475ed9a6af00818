/*
 * worker.h
 *	  The background workers "commerce maintenance".
 */
#ifndef COMMERCE_WORKER_H
#define COMMERCE_WORKER_H

/* Registers the launcher; called while the library is being preloaded. */
extern void worker_init(void);

/* Asks for shared memory, and fills it: called by the hooks of commerce.c. */
extern void worker_request_memory(void);
extern void worker_start_memory(void);

/* Wakes this database's worker: news_tell()'s callback. */
extern void worker_wake(void);

#endif
