/*
 * resource.c
 *	  What is known of a product's or coupon's units in each cell; owns the list of those that were wanted or sold.
 *
 * A resource is looked at when it was wanted or sold lately: what nobody buys costs nothing but its place here, and what
 * will last for long little more.
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

/*
 * After a sale: when so much of what the cell has that is empty first will be sold, within these bounds.  So a hint is
 * not wrong by much more than that.
 */
#define LOOK_PART		0.1
#define WARM_INTERVAL	2000
#define SLOW_INTERVAL	30000

/* Looks that are not pressing are made together, those after a long time even more so. */
#define WARM_GRID		1000
#define SLOW_GRID		5000

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
		resource->cells[i].taken = -1;
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

/* In how many milliseconds the first of those cells that sell will be empty, as it was looked at. */
static double
lasts(const Resource *resource, int ncells)
{
	double		time = INFINITY;

	for (int i = 0; i < ncells; i++)
	{
		const Holding *holding = &resource->cells[i];

		/* what has nearly stopped selling does not count */
		if (holding->round > 0 && holding->rate > 1000.0 / WARM_TIME)
			time = fmin(time, 1000 * (double) holding->available / holding->rate);
	}
	return time;
}

Millis
resource_due(const Resource *resource, int ncells, Millis now)
{
	Millis		interval;
	Millis		grid;

	if (lately(resource->last_want, HOT_TIME, now))
		return resource->last_look + HOT_INTERVAL;
	if (!lately(resource->last_sale, WARM_TIME, now))
		return NEVER;
	interval = (Millis) fmax(WARM_INTERVAL, fmin(SLOW_INTERVAL, LOOK_PART * lasts(resource, ncells)));
	grid = interval < SLOW_GRID ? WARM_GRID : SLOW_GRID;
	return (resource->last_look + interval) / grid * grid;
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
