/*
 * plan.c
 *	  How the units of one product or coupon are shared among the cells; a function of what is known of them.
 *
 * A cell's fair part is in proportion to what it sells and to what is waited for in it, with a little for those that
 * have sold nothing yet.
 *
 * A cell where somebody waits gets what is missing if others have it, from cells that have more than their fair part
 * first; and with it, of what these have too much, what it needs for its own fair part, so that it does not wait
 * again at once.  The least want is served first.
 *
 * Without a want, units move only to a cell that sells, has less than half of its fair part and misses no trifle of
 * all units, and only what others have too much.  So what has moved does not move back: it would need that a cell
 * sells half of what it has, or that what the cells sell has changed.
 */
#include "plan.h"

#include <stdlib.h>

#include "client/util.h"

/* Units per second that every cell is thought to sell beside what it sells. */
#define PRIOR_RATE	1.0

/* Without a want: the least that is worth a move, in units and as a part of the average cell's. */
#define LEAST_UNITS	4
#define LEAST_PART	4

typedef struct Place
{
	int64_t		available;
	int64_t		have;			/* with what is coming */
	int64_t		fair;
	int64_t		reserved;		/* of what is available, for its own want */
} Place;

typedef struct Plan
{
	const Share *shares;
	int			ncells;
	Place	   *places;
	Move	   *moves;
	int			nmoves;
	int			max_moves;
} Plan;

static int64_t
at_least_0(int64_t units)
{
	return units > 0 ? units : 0;
}

static int64_t
less(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
more(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static double
weight(const Share *share)
{
	return share->known ? share->rate + (double) share->wanted + PRIOR_RATE : 0;
}

static void
make_places(Plan *plan)
{
	int64_t		total = 0;
	double		weights = 0;

	for (int i = 0; i < plan->ncells; i++)
	{
		const Share *share = &plan->shares[i];
		Place	   *place = &plan->places[i];

		if (!share->known)
			continue;
		place->available = at_least_0(share->available);
		place->have = place->available + share->coming;
		/* whoever has enough for his want keeps it */
		if (place->have >= share->wanted)
			place->reserved = share->wanted;
		total += place->have;
		weights += weight(share);
	}
	for (int i = 0; i < plan->ncells; i++)
	{
		if (plan->shares[i].known)
			plan->places[i].fair = (int64_t) ((double) total * (weight(&plan->shares[i]) / weights));
	}
}

/* What a cell can do without: all but its own want, or what is above its fair part. */
static int64_t
spare(const Plan *plan, int i, bool fairly)
{
	const Place *place = &plan->places[i];

	return at_least_0(place->available - (fairly ? more(place->fair, place->reserved) : place->reserved));
}

/* The cell that can do without most; -1: none can. */
static int
richest(const Plan *plan, int but, bool fairly)
{
	int			best = -1;

	for (int i = 0; i < plan->ncells; i++)
	{
		if (i != but && spare(plan, i, fairly) > 0 && (best < 0 || spare(plan, i, fairly) > spare(plan, best, fairly)))
			best = i;
	}
	return best;
}

static void
move(Plan *plan, int from, int to, int64_t units)
{
	Move	   *last = NULL;

	for (int i = 0; i < plan->nmoves; i++)
	{
		if (plan->moves[i].from == from && plan->moves[i].to == to)
			last = &plan->moves[i];
	}
	if (last == NULL)
	{
		last = &plan->moves[plan->nmoves++];
		*last = (Move) {from, to, 0};
	}
	last->units += units;
	plan->places[from].available -= units;
	plan->places[from].have -= units;
	plan->places[to].have += units;
}

/* Moves up to so many units to a cell, each time at least a least number. */
static void
gather(Plan *plan, int to, int64_t units, bool fairly, int64_t least)
{
	int			from;

	while (units > 0 && plan->nmoves < plan->max_moves && (from = richest(plan, to, fairly)) >= 0)
	{
		int64_t		part = less(units, spare(plan, from, fairly));

		if (part < least)
			return;
		move(plan, from, to, part);
		units -= part;
	}
}

static int64_t
missing(const Plan *plan, int i)
{
	return plan->shares[i].known ? at_least_0(plan->shares[i].wanted - plan->places[i].have) : 0;
}

static void
serve_wants(Plan *plan)
{
	bool	   *served = xcalloc((size_t) plan->ncells, sizeof(bool));

	for (;;)
	{
		int			next = -1;

		for (int i = 0; i < plan->ncells; i++)
		{
			if (!served[i] && missing(plan, i) > 0 && (next < 0 || missing(plan, i) < missing(plan, next)))
				next = i;
		}
		if (next < 0)
			break;
		served[next] = true;
		gather(plan, next, missing(plan, next), true, 1);
		gather(plan, next, missing(plan, next), false, 1);
		plan->places[next].reserved = less(plan->places[next].available, plan->shares[next].wanted);
	}
	/* once every want has what there is */
	for (int i = 0; i < plan->ncells; i++)
	{
		if (served[i])
			gather(plan, i, plan->places[i].fair - plan->places[i].have, true, 1);
	}
	free(served);
}

static void
even_out(Plan *plan)
{
	int64_t		total = 0;
	int			known = 0;
	int64_t		least;

	for (int i = 0; i < plan->ncells; i++)
	{
		total += plan->places[i].have;
		known += plan->shares[i].known;
	}
	if (known == 0)
		return;
	least = more(LEAST_UNITS, total / known / LEAST_PART);
	for (int i = 0; i < plan->ncells; i++)
	{
		const Place *place = &plan->places[i];

		if (plan->shares[i].known && plan->shares[i].rate > 0 && place->have < place->fair / 2 &&
			place->fair - place->have >= least)
			gather(plan, i, place->fair - place->have, true, LEAST_UNITS);
	}
}

int
plan_moves(const Share *shares, int ncells, Move *moves, int max_moves)
{
	Plan		plan = {.shares = shares, .ncells = ncells, .moves = moves, .max_moves = max_moves};

	plan.places = xcalloc((size_t) ncells, sizeof(Place));
	make_places(&plan);
	serve_wants(&plan);
	even_out(&plan);
	free(plan.places);
	return plan.nmoves;
}
