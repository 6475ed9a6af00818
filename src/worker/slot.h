/*
 * slot.h
 *	  What launcher, workers and sessions tell each other: a slot of shared memory for each database.
 */
#ifndef COMMERCE_SLOT_H
#define COMMERCE_SLOT_H

#include "port/atomics.h"
#include "utils/timestamp.h"

#include "base/news.h"
#include "worker/database.h"

#define PAUSE_MS		5000	/* before a worker is started after a failed one */
#define NO_PROCESS		(-1)
#define NEVER			DT_NOEND	/* until there is news */
#define FAILED			DT_NOBEGIN	/* what a worker that has ended well has overwritten */

typedef struct Slot
{
	Oid			database;		/* InvalidOid: free; set under the mutex */
	pg_atomic_uint32 news;		/* News of what was committed since a worker looked */
	int			process;		/* number of its worker's process */
	TimestampTz due;			/* when a worker is wanted though nothing happens; or NEVER or FAILED */

	/* the worker's own */
	KeptOut		kept_out;
	bool		unused;			/* no commerce here */
	TimestampTz last_fold;		/* when it ended; 0: none did since the server's start */
	bool		fold_all;		/* not everything has been folded since these were: */
	uint64		folded_generation;
	uint64		folded_lost;
} Slot;

/* Asks for shared memory, and fills it: called by the hooks of commerce.c. */
extern void slot_request_memory(void);
extern void slot_start_memory(void);

/* Wakes this database's worker: news_tell()'s callback. */
extern void slot_wake(News news);

extern Slot *slot_number(int number);

/* A database's slot; makes one if there is room, else returns NULL.  Does not throw. */
extern Slot *slot_find(Oid database);

/* Under no lock: the caller knows that no worker has it. */
extern void slot_free(Slot *slot);

/* Notes the number of the process that is a slot's worker, or (slot NULL) the launcher. */
extern void slot_set_process(Slot *slot, int process);

/*
 * A database for which there was no slot when something was committed there; InvalidOid: no more.  For a
 * loop from 0; *logged belongs to the launcher.
 */
extern Oid	slot_outsider(int number, bool **logged);
extern void slot_forget_outsider(Oid database);

/* Sleeps until the latch is set, at most for timeout ms, and reads the configuration if it has changed. */
extern void slot_sleep(long timeout, int events);

#endif
