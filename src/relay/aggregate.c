/*
 * aggregate.c
 *	  The events that a subscription has at hand, by aggregate: which one is next, and which aggregates are ready.
 */
#include "aggregate.h"

#include <stdlib.h>
#include <string.h>

static unsigned
bucket_of(const char *type, const char *id)
{
	unsigned	hash = 2166136261u;

	for (const char *c = type; *c; c++)
		hash = (hash ^ (unsigned char) *c) * 16777619u;
	for (const char *c = id; *c; c++)
		hash = (hash ^ (unsigned char) *c) * 16777619u;
	return hash % BUCKETS;
}

Aggregate *
aggregate_find(Aggregates *all, const char *type, const char *id)
{
	unsigned	bucket = bucket_of(type, id);
	Aggregate  *aggregate;

	for (aggregate = all->buckets[bucket]; aggregate; aggregate = aggregate->next_in_bucket)
	{
		if (strcmp(aggregate->id, id) == 0 && strcmp(aggregate->type, type) == 0)
			return aggregate;
	}
	aggregate = xcalloc(1, sizeof(Aggregate));
	aggregate->type = xstrdup(type);
	aggregate->id = xstrdup(id);
	aggregate->next_in_bucket = all->buckets[bucket];
	all->buckets[bucket] = aggregate;
	return aggregate;
}

static void
free_aggregate(Aggregate *aggregate)
{
	free(aggregate->type);
	free(aggregate->id);
	free(aggregate);
}

bool
aggregate_insert(Aggregate *aggregate, Event *event)
{
	Event	  **link;

	for (link = &aggregate->first; *link; link = &(*link)->next_of_aggregate)
	{
		int			order = strcmp((*link)->position, event->position);

		if (order == 0)
			return false;
		if (order > 0)
			break;
	}
	event->next_of_aggregate = *link;
	*link = event;
	event->aggregate = aggregate;
	return true;
}

void
aggregate_remove(Event *event)
{
	Event	  **link = &event->aggregate->first;

	while (*link != event)
		link = &(*link)->next_of_aggregate;
	*link = event->next_of_aggregate;
	event->aggregate = NULL;
}

void
aggregate_drop(Aggregates *all, Aggregate *aggregate)
{
	Aggregate **link = &all->buckets[bucket_of(aggregate->type, aggregate->id)];

	if (aggregate->first || aggregate->blocked || aggregate->ready || aggregate->busy)
		return;
	while (*link != aggregate)
		link = &(*link)->next_in_bucket;
	*link = aggregate->next_in_bucket;
	free_aggregate(aggregate);
}

Event *
aggregate_sendable(const Aggregate *aggregate)
{
	Event	   *event = aggregate->first;

	/* parked events stay in the list until the server knows that they are delivered */
	while (event && event->state == EVENT_DELIVERED)
		event = event->next_of_aggregate;
	if (aggregate->busy || event == NULL || event->state != EVENT_WAITING)
		return NULL;
	return aggregate->blocked && !event->parked ? NULL : event;
}

void
aggregate_make_ready(Aggregates *all, Aggregate *aggregate)
{
	if (aggregate->ready || aggregate_sendable(aggregate) == NULL)
		return;
	aggregate->ready = true;
	aggregate->next_ready = NULL;
	if (all->ready_last)
		all->ready_last->next_ready = aggregate;
	else
		all->ready_first = aggregate;
	all->ready_last = aggregate;
}

Aggregate *
aggregate_take_ready(Aggregates *all, bool rather_new)
{
	Aggregate  *before = NULL;
	Aggregate  *aggregate = all->ready_first;

	if (rather_new)
	{
		for (Aggregate *last = NULL, *a = all->ready_first; a; last = a, a = a->next_ready)
		{
			const Event *event = aggregate_sendable(a);

			if (event && !event->parked)
			{
				before = last;
				aggregate = a;
				break;
			}
		}
	}
	if (aggregate == NULL)
		return NULL;
	if (before)
		before->next_ready = aggregate->next_ready;
	else
		all->ready_first = aggregate->next_ready;
	if (all->ready_last == aggregate)
		all->ready_last = before;
	aggregate->ready = false;
	return aggregate;
}

void
aggregate_block(Aggregates *all, Aggregate *aggregate)
{
	if (!aggregate->blocked)
		all->nblocked++;
	aggregate->blocked = true;
}

void
aggregates_unblock(Aggregates *all)
{
	if (all->nblocked == 0)
		return;
	all->nblocked = 0;
	for (int i = 0; i < BUCKETS; i++)
	{
		Aggregate  *next;

		for (Aggregate *aggregate = all->buckets[i]; aggregate; aggregate = next)
		{
			next = aggregate->next_in_bucket;
			if (!aggregate->blocked)
				continue;
			aggregate->blocked = false;
			aggregate_make_ready(all, aggregate);
			aggregate_drop(all, aggregate);
		}
	}
}

void
aggregates_forget(Aggregates *all)
{
	for (int i = 0; i < BUCKETS; i++)
	{
		Aggregate  *next;

		for (Aggregate *aggregate = all->buckets[i]; aggregate; aggregate = next)
		{
			Event	   *next_event;

			next = aggregate->next_in_bucket;
			for (Event *event = aggregate->first; event; event = next_event)
			{
				next_event = event->next_of_aggregate;
				event_free(event);
			}
			free_aggregate(aggregate);
		}
	}
	memset(all, 0, sizeof(Aggregates));
}
