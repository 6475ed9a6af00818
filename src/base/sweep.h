/*
 * sweep.h
 *	  Doing what is due, some of which may be impossible.
 */
#ifndef COMMERCE_SWEEP_H
#define COMMERCE_SWEEP_H

/* What is done to things that are due; the texts are for the log: "overdue order 7 could not be ended". */
typedef struct Sweep
{
	const char *thing;
	const char *change;

	/*
	 * Does it to n of them, passes over what is not due any more or somebody else is working on, and answers how
	 * much it has done.
	 */
	int			(*work) (const int64 *ids, int n);

	/* Locks what doing it to each of them alone would lock in another order than to all; NULL: nothing. */
	void		(*lock) (const int64 *ids, int n);
} Sweep;

/*
 * Does it to all of n things, or, when that fails, to each that it can be done to, and answers how much it has
 * done.  What cannot be done is undone, and a warning.
 */
extern int	sweep(const Sweep *sweep, const int64 *ids, int n);

#endif
