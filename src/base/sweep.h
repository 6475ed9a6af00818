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
	 * Finds at most `max` things that are due, the oldest first; with skipped > 0, from any place behind so many
	 * (SWEEP_DUE).
	 */
	int64	   *(*find) (int64 max, int64 skipped, int *n);

	/*
	 * Does it to n of them, passes over what is not due any more or somebody else is working on, and answers how
	 * much it has done.
	 */
	int			(*work) (const int64 *ids, int n);

	/* Locks what doing it to each of them alone would lock in another order than to all; NULL: nothing. */
	void		(*lock) (const int64 *ids, int n);
} Sweep;

/* The statement of find(max, skipped): `due` selects all that is due, as id and at.  $3 and on are its own. */
#define SWEEP_DUE(due) \
	"WITH due AS NOT MATERIALIZED (" due ") SELECT d.id FROM due d ORDER BY d.at LIMIT $1 " \
	"OFFSET CASE WHEN $2 OPERATOR(pg_catalog.>) 0 THEN (" \
	"SELECT $2 OPERATOR(pg_catalog.+) pg_catalog.floor(pg_catalog.random() OPERATOR(pg_catalog.*) " \
	"pg_catalog.count(*)::pg_catalog.float8)::pg_catalog.int8 FROM (SELECT FROM due OFFSET $2) d) END"

/*
 * Does it to what is due, at most `max` things, or, when that fails, to each that it can be done to, and answers
 * how much it has done.  What cannot be done is undone, and a warning.
 */
extern int	sweep(const Sweep *sweep, int64 max);

#endif
