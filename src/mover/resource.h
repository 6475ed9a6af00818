/*
 * resource.h
 *	  What is known of a product's or coupon's units in each cell.
 */
#ifndef MOVER_RESOURCE_H
#define MOVER_RESOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/util.h"

typedef enum UnitKind
{
	KIND_STOCK,
	KIND_QUOTA
} UnitKind;

#define NKINDS	2

/* As the type commerce.unit_kind has them. */
extern const char *const kind_names[NKINDS];

extern UnitKind kind_parse(const char *name);

/* Of one resource in one cell. */
typedef struct Holding
{
	/* the last look; taken, and so the rate, may be of a later survey */
	int			round;			/* in which it was answered; 0: never */
	int64_t		available;
	int64_t		taken;			/* a running sum, which may begin anew; -1: not known */
	Millis		taken_at;
	double		rate;			/* units taken per second, lately */

	int64_t		wanted;			/* units that somebody waits for, until: */
	Millis		want_until;

	/* what the cell is told that the others have */
	int64_t		elsewhere;
	Millis		elsewhere_at;	/* when that was known; 0: never */
	bool		hint_due;
	Millis		empty_at;		/* when the others were last seen to have nothing; 0: they had something */
} Holding;

typedef struct Resource
{
	UnitKind	kind;
	int64_t		id;
	int			round;			/* that looks at it */
	int			moved_round;	/* in which a unit of it was sent or received */
	Millis		last_look;
	Millis		next_look;
	Millis		last_want;
	Millis		last_sale;
	Holding		cells[];
} Resource;

typedef struct ResourceList
{
	Resource  **items;			/* by kind and id */
	int			count;
	int			ncells;
} ResourceList;

/* Finds it, or makes it. */
extern Resource *resource_get(ResourceList *list, UnitKind kind, int64_t id);

/* Notes what a look or a survey has seen taken, and learns the rate of it. */
extern void resource_saw_taken(Resource *resource, int cell, int64_t taken, Millis now);

/* Units that somebody waits for. */
extern int64_t resource_wanted(const Resource *resource, int cell, Millis now);

/* When the next look is due, by what has happened to it since the last one and how long it will last. */
extern Millis resource_due(const Resource *resource, int ncells, Millis now);

extern void resources_clear(ResourceList *list);

#endif
