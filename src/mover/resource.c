/*
 * resource.c
 *	  What is known of a product's or coupon's units in each cell; owns the list of those that were wanted or sold.
 *
 * A resource is looked at when it was wanted or sold lately: what nobody buys costs nothing but its place here.
 */
#include "resource.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The time over which a rate is learned */
#define RATE_MEMORY		10000.0

/* How long a resource is looked at often after a want, and now and then after a sale */
#define HOT_TIME		30000
#define WARM_TIME		60000

#define HOT_INTERVAL	250
#define WARM_INTERVAL	2000

const char *const kind_names[NKINDS] = {"STOCK", "QUOTA"};

UnitKind
kind_parse(const char *name)
{
	return strcmp(name, kind_names[KIND_QUOTA]) == 0 ? KIND_QUOTA : KIND_STOCK;
}

static int
compare(const Resource *resource, UnitKind kind, int64_t id)
{
	if (resource->kind != kind)
		return resource->kind < kind ? -1 : 1;
	return resource->id < id ? -1 : resource->id > id;
}

Resource *
resource_get(ResourceList *list, UnitKind kind, int64_t id)
{
	int			low = 0;
	int			high = list->count;
	Resource   *resource;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = compare(list->items[middle], kind, id);

		if (order == 0)
			return list->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	resource = xcalloc(1, sizeof(Resource) + sizeof(Holding) * (size_t) list->ncells);
	resource->kind = kind;
	resource->id = id;
	resource->next_look = NEVER;
	for (int i = 0; i < list->ncells; i++)
		resource->cells[i].taken = resource->cells[i].surveyed = -1;
	list->items = xrealloc(list->items, sizeof(Resource *) * (size_t) (list->count + 1));
	memmove(&list->items[low + 1], &list->items[low], sizeof(Resource *) * (size_t) (list->count - low));
	list->items[low] = resource;
	list->count++;
	return resource;
}

void
resource_saw_taken(Resource *resource, int cell, int64_t taken, Millis now)
{
	Holding    *holding = &resource->cells[cell];
	/* a sum that has begun anew has forgotten what there was */
	int64_t		more = taken < holding->taken ? taken : taken - holding->taken;
	double		time = (double) (now - holding->taken_at);

	if (taken < 0)
		return;
	if (holding->taken >= 0 && time > 0)
	{
		double		share = 1 - exp(-time / RATE_MEMORY);

		holding->rate += share * ((double) more / (time / 1000) - holding->rate);
		if (more > 0)
			resource->last_sale = now;
	}
	/* within a millisecond nothing can be learned: the next time does */
	if (holding->taken < 0 || time > 0)
	{
		holding->taken = taken;
		holding->taken_at = now;
	}
}

int64_t
resource_wanted(const Resource *resource, int cell, Millis now)
{
	const Holding *holding = &resource->cells[cell];

	return now < holding->want_until ? holding->wanted : 0;
}

static bool
lately(Millis then, Millis time, Millis now)
{
	return then != 0 && now - then < time;
}

Millis
resource_look_interval(const Resource *resource, Millis now)
{
	if (lately(resource->last_want, HOT_TIME, now))
		return HOT_INTERVAL;
	if (lately(resource->last_sale, WARM_TIME, now))
		return WARM_INTERVAL;
	return NEVER;
}

void
resources_clear(ResourceList *list)
{
	for (int i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	list->items = NULL;
	list->count = 0;
}
