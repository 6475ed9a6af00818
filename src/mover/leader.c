/*
 * leader.c
 *	  One mover at a time shares units out: it has a lock, and others stand by.
 *
 * The lock is an advisory one of the session, in cell 0; while that is down, in the first cell that can be reached.  When
 * a cell before that comes back, the lock there is asked for too, and who does not get it stands by.  Two movers may
 * lead for a time, such as when each reaches another cell 0: they move more than is needed, and nothing is lost.
 */
#include "leader.h"

#include <string.h>

#include "client/log.h"

/* "commmove", as a number */
#define LOCK_KEY		"7165065848924632677"

#define LOCK_INTERVAL	300

/* A cell that has not answered for so long after the start is not waited for. */
#define START_PATIENCE	1000

/* The cell where the lock is to be; NULL: it cannot be said yet. */
static Cell *
lock_place(Mover *mover, Millis now)
{
	for (int i = 0; i < mover->ncells; i++)
	{
		Cell	   *cell = &mover->cells[i];

		if (cell_is_up(cell))
			return cell;
		if (!cell->work.tried && now < mover->started + START_PATIENCE)
			return NULL;
	}
	return NULL;
}

/* Whether the lock that a cell has is one too many: a cell before it has it too. */
static bool
is_needless(const Mover *mover, const Cell *cell)
{
	for (const Cell *other = mover->cells; other < cell; other++)
	{
		if (other->has_lock)
			return true;
	}
	return false;
}

bool
leader_begin(Mover *mover, Cell *cell, Millis now)
{
	if (cell->has_lock)
	{
		if (!is_needless(mover, cell))
			return false;
		cell_ask(cell, JOB_UNLOCK, "SELECT pg_advisory_unlock(" LOCK_KEY ")", NULL, 0);
		return true;
	}
	if (mover->finishing || cell != lock_place(mover, now) || now < cell->next_lock)
		return false;
	cell_ask(cell, JOB_LOCK, "SELECT pg_try_advisory_lock(" LOCK_KEY ")", NULL, 0);
	return true;
}

void
leader_answered(Mover *mover, Cell *cell, Millis now)
{
	const PGresult *answer = cell_answer(cell);

	if (answer == NULL)
	{
		cell_complain(cell, &cell->work, "could not ask for the lock");
		cell->next_lock = now + LOCK_INTERVAL;
	}
	else if (cell->job == JOB_UNLOCK)
		cell->has_lock = false;
	else if (strcmp(PQgetvalue(answer, 0, 0), "t") == 0)
		cell->has_lock = true;
	else
	{
		if (cell->next_lock == 0)
			log_info("cell %d: another mover has the lock, standing by", cell->number);
		cell->next_lock = now + LOCK_INTERVAL;
		/* it leads by an earlier cell's lock */
		for (Cell *other = cell + 1; other < mover->cells + mover->ncells; other++)
		{
			if (other->has_lock)
				link_reset(&other->work);
			other->has_lock = false;
		}
	}
}

void
leader_update(Mover *mover)
{
	bool		leading = false;

	for (int i = 0; i < mover->ncells; i++)
		leading = leading || mover->cells[i].has_lock;
	if (leading == mover->leading)
		return;
	mover->leading = leading;
	if (leading)
	{
		mover->times_leading++;
		log_info("leading");
	}
	else
		log_info("not leading any more");
}

Millis
leader_deadline(const Mover *mover, Millis now)
{
	Millis		deadline = NEVER;

	if (mover->leading && mover->cells[0].has_lock)
		return NEVER;
	sooner(&deadline, mover->started + START_PATIENCE > now ? mover->started + START_PATIENCE : NEVER);
	for (int i = 0; i < mover->ncells; i++)
	{
		if (link_ready(&mover->cells[i].work) && !mover->cells[i].has_lock)
		{
			sooner(&deadline, mover->cells[i].next_lock > now ? mover->cells[i].next_lock : now + LOCK_INTERVAL);
			break;
		}
	}
	return deadline;
}
