/*
 * plan.h
 *	  How the units of one product or coupon are shared among the cells.
 */
#ifndef MOVER_PLAN_H
#define MOVER_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* What is known of one cell. */
typedef struct Share
{
	bool		known;			/* it has answered; else it neither gives nor gets */
	int64_t		available;		/* units that are there */
	int64_t		coming;			/* units on their way to it */
	int64_t		wanted;			/* units that somebody waits for */
	double		rate;			/* units that it sells, per second */
} Share;

typedef struct Move
{
	int			from;			/* places in the array of shares */
	int			to;
	int64_t		units;
} Move;

/*
 * Decides which units are to move, at most max_moves times, and returns how many moves there are.  ncells > 0;
 * what it is asked about again after its moves it leaves as it is.
 */
extern int	plan_moves(const Share *shares, int ncells, Move *moves, int max_moves);

#endif
