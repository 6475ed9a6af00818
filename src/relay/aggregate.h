/*
 * aggregate.h
 *	  The events that a subscription has at hand, by aggregate: which one is next, and which aggregates are ready.
 */
#ifndef RELAY_AGGREGATE_H
#define RELAY_AGGREGATE_H

#include "event.h"

#define BUCKETS			4096

typedef struct Aggregate
{
	char	   *type;
	char	   *id;
	struct Aggregate *next_in_bucket;
	struct Aggregate *next_ready;
	bool		ready;			/* in the list of those whose first event can be sent */
	bool		busy;			/* a request with its events is under way */
	bool		blocked;		/* the server has parked events of it */
	Event	   *first;			/* by position */
} Aggregate;

/* All zeros: there are none. */
typedef struct Aggregates
{
	Aggregate  *buckets[BUCKETS];
	int			nblocked;
	Aggregate  *ready_first;
	Aggregate  *ready_last;
} Aggregates;

/* Made when it is not there. */
extern Aggregate *aggregate_find(Aggregates *all, const char *type, const char *id);

/* Frees it when nothing needs it any more. */
extern void aggregate_drop(Aggregates *all, Aggregate *aggregate);

/* Frees all of them with their events. */
extern void aggregates_forget(Aggregates *all);

/* Puts an event into the aggregate's list, or answers false: there is one at that position. */
extern bool aggregate_insert(Aggregate *aggregate, Event *event);

/* Takes an event out of its aggregate's list. */
extern void aggregate_remove(Event *event);

/* The event of the aggregate that can be sent now, or NULL. */
extern Event *aggregate_sendable(const Aggregate *aggregate);

/* Puts the aggregate into the ready list, if it has an event that can be sent. */
extern void aggregate_make_ready(Aggregates *all, Aggregate *aggregate);

/* Takes an aggregate out of the ready list; the first, or the first with a new event if there is one. */
extern Aggregate *aggregate_take_ready(Aggregates *all, bool rather_new);

/* The server has parked events of it. */
extern void aggregate_block(Aggregates *all, Aggregate *aggregate);

/* None is blocked any more. */
extern void aggregates_unblock(Aggregates *all);

#endif
