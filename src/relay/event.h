/*
 * event.h
 *	  An event as it was fetched, and where its delivery stands.
 */
#ifndef RELAY_EVENT_H
#define RELAY_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "client/util.h"

struct Aggregate;

typedef enum EventState
{
	EVENT_WAITING,				/* to be sent */
	EVENT_SENT,					/* an answer is awaited */
	EVENT_DELIVERED,
	EVENT_FAILED,				/* which the server does not know yet */
	EVENT_PARKED				/* it knows; the cursor has to pass the event */
} EventState;

/* In one piece of memory with its strings. */
typedef struct Event
{
	/* what fetch_events() returned; time is RFC 3339 */
	const char *position;
	const char *id;
	const char *type;
	const char *aggregatetype;
	const char *aggregateid;
	const char *payload;
	size_t		payload_length;
	const char *time;

	/* delivery.c's */
	EventState	state;
	int			attempts;		/* that failed before */
	bool		parked;			/* it came from due_events() */
	Millis		retry_after;	/* asked for by the sink */
	char	   *error;			/* of the last attempt */
	bool		queued;			/* it is in the queue */
	struct Event *next;			/* there */
	struct Aggregate *aggregate;	/* whose list it is in, or NULL */
	struct Event *next_of_aggregate;
} Event;

/* A copy of these; attempts is that of a parked event. */
extern Event *event_create(const char *position, const char *id, const char *type,
						   const char *aggregatetype, const char *aggregateid, const char *payload,
						   const char *time, int attempts);
extern void event_free(Event *event);

#endif
