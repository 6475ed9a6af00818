/*
 * outbox.h
 *	  Writing events.
 */
#ifndef COMMERCE_OUTBOX_H
#define COMMERCE_OUTBOX_H

#include "utils/jsonb.h"

typedef struct Event
{
	const char *aggregatetype;
	const char *aggregateid;
	const char *type;
	Jsonb	   *payload;
	uint64		key;			/* of the aggregate: see outbox_key() */
} Event;

/*
 * Appends events in the order given.  The caller holds the row lock of each aggregate, or has just
 * created it.
 */
extern void outbox_write(const Event *events, int nevents);

/* The key of an aggregate's first event: this transaction's id. */
extern uint64 outbox_first_key(void);

#endif
