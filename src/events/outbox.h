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
	int64		key;			/* the aggregate's event_key; of its first event: current_key() */
	int64		position;		/* drawn with the change it tells of; 0: it is drawn with the event */
} Event;

/* An aggregate's id as an event has it, in the current memory context. */
extern char *outbox_id(int64 id);

/*
 * Appends events in the order given.  The caller holds the row lock of each aggregate, or has just
 * created it.
 */
extern void outbox_write(const Event *events, int nevents);

/* Tells those who listen (relays), when the transaction commits, that there is something to do. */
extern void outbox_notify(void);

#endif
