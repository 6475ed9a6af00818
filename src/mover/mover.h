/*
 * mover.h
 *	  What the parts of the mover share: the cells, what is asked of each, and what is known.
 *
 * A cell has two connections.  On one somebody who waits for units is waited for (wants.c); on the other, work, one
 * query at a time is under way, which is one part's job.  When that connection is free, mover.c lets the parts begin
 * the next one, the most pressing first.
 */
#ifndef MOVER_MOVER_H
#define MOVER_MOVER_H

#include <poll.h>
#include <stdbool.h>

#include "cells.h"
#include "link.h"
#include "resource.h"

typedef enum Job
{
	JOB_NONE,
	JOB_LOCK,					/* leader.c */
	JOB_UNLOCK,
	JOB_SEND,					/* transfer.c */
	JOB_RECEIVE,
	JOB_CONFIRM,
	JOB_LOOK,					/* look.c */
	JOB_SURVEY,
	JOB_HINT					/* hint.c */
} Job;

typedef struct Transfer Transfer;

typedef struct Cell
{
	int			number;
	Link		work;
	Job			job;			/* under way on it, since: */
	Millis		job_began;
	Transfer   *transfer;		/* that it is about */
	int			round;			/* that it looks for */
	bool		has_lock;		/* its session has the leader's lock */
	bool		complained;		/* of a query that failed: once is enough */
	Millis		next_lock;
	Millis		next_survey;

	Link		wants;
	Millis		next_wait;

	/* for the metrics */
	int64_t		wants_seen;
	int64_t		hints_written;
	int64_t		transfers_sent;
	int64_t		units_sent;
} Cell;

/* The look at all cells that is under way, or was the last. */
typedef struct Round
{
	int			number;
	bool		under_way;
	bool	   *asked;			/* per cell: it takes part */
	bool	   *answered;
	char	   *ids[NKINDS];	/* what is looked at: an array as text */
	Millis		began;
	Millis		deadline;		/* who has not answered then is not known */
	Millis		next;			/* at the latest; for transfers that others have left */
} Round;

typedef struct Mover
{
	Cell	   *cells;			/* by number */
	int			ncells;
	ResourceList resources;
	Transfer   *transfers;		/* that are not finished */
	Round		round;
	bool		leading;
	bool		finishing;
	Millis		started;		/* when the connections were begun, all at once */
	const char *metrics;		/* file; or NULL */
	Millis		next_metrics;
	int64_t		rounds;
	int64_t		times_leading;
} Mover;

extern Mover *mover_open(const CellList *list, const char *metrics);

/* Does what can be done now. */
extern void mover_step(Mover *mover, Millis now);

/* When to call mover_step() again at the latest. */
extern Millis mover_deadline(const Mover *mover, Millis now);

/* Appends what to wait for; returns how many, of which there is room for two of each cell. */
extern unsigned mover_descriptors(const Mover *mover, struct pollfd *descriptors);

/* Begins nothing new; mover_finished() says when what has begun is done. */
extern void mover_finish(Mover *mover);
extern bool mover_finished(const Mover *mover);

extern void mover_close(Mover *mover);

/* Connects to each cell and logs what is wrong; false when anything is.  For the beginning: it waits. */
extern bool mover_check(Mover *mover);

/*
 * For the parts
 */

/* The place of the cell with this number; -1: the list does not have it. */
extern int	mover_find_cell(const Mover *mover, int number);

/* Begins a query on a cell's work connection. */
extern void cell_ask(Cell *cell, Job job, const char *sql, const Parameter *parameters, int nparameters);

/* The same with a statement of look_statements. */
extern void cell_ask_prepared(Cell *cell, Job job, const char *name, const Parameter *parameters, int nparameters);

/* Its answer, once that is there: rows of the one statement. */
extern const PGresult *cell_answer(const Cell *cell);

/* Whether the cell can be asked at all, and is not in something that takes long. */
extern bool cell_is_up(const Cell *cell);
extern bool cell_is_late(const Cell *cell, Millis now);

/* A query on one of its connections failed, with that left: told once, until cell_recovered(). */
extern void cell_complain(Cell *cell, const Link *link, const char *what);
extern void cell_recovered(Cell *cell);

static inline void
sooner(Millis *deadline, Millis other)
{
	if (other < *deadline)
		*deadline = other;
}

#endif
