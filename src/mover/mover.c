/*
 * mover.c
 *	  The cells, and whose turn it is on each one's work connection.
 */
#include "mover.h"

#include <stdlib.h>
#include <string.h>

#include "client/log.h"
#include "hint.h"
#include "leader.h"
#include "look.h"
#include "metrics.h"
#include "transfer.h"
#include "wants.h"

#define METRICS_INTERVAL	5000

/* A cell whose answer takes so long is left alone until it comes. */
#define LATE_TIME		500

Mover *
mover_open(const CellList *list, const char *metrics)
{
	Mover	   *mover = xcalloc(1, sizeof(Mover));

	mover->cells = xcalloc((size_t) list->count, sizeof(Cell));
	mover->ncells = list->count;
	mover->resources.ncells = list->count;
	mover->round.asked = xcalloc((size_t) list->count, sizeof(bool));
	mover->round.answered = xcalloc((size_t) list->count, sizeof(bool));
	mover->metrics = metrics;
	mover->started = clock_now();
	for (int i = 0; i < list->count; i++)
	{
		const CellEntry *entry = &list->items[i];

		mover->cells[i].number = entry->number;
		link_init(&mover->cells[i].work, entry->number, entry->conninfo, "", look_statements);
		link_init(&mover->cells[i].wants, entry->number, entry->conninfo, " wants", wants_statements);
	}
	return mover;
}

int
mover_find_cell(const Mover *mover, int number)
{
	for (int i = 0; i < mover->ncells; i++)
	{
		if (mover->cells[i].number == number)
			return i;
	}
	return -1;
}

void
cell_ask(Cell *cell, Job job, const char *sql, const Parameter *parameters, int nparameters)
{
	cell->job = job;
	cell->job_began = clock_now();
	database_query_with(&cell->work.database, sql, parameters, nparameters);
}

void
cell_ask_prepared(Cell *cell, Job job, const char *name, const Parameter *parameters, int nparameters)
{
	cell->job = job;
	cell->job_began = clock_now();
	database_query_prepared(&cell->work.database, name, parameters, nparameters);
}

const PGresult *
cell_answer(const Cell *cell)
{
	return cell->work.database.state == DATABASE_DONE ? cell->work.database.results[0] : NULL;
}

bool
cell_is_up(const Cell *cell)
{
	return cell->work.prepared;
}

bool
cell_is_late(const Cell *cell, Millis now)
{
	return cell->job != JOB_NONE && now - cell->job_began > LATE_TIME;
}

void
cell_complain(Cell *cell, const Link *link, const char *what)
{
	log_write(cell->complained ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "cell %d: %s: %s", cell->number, what,
			  link->database.error);
	cell->complained = true;
}

void
cell_recovered(Cell *cell)
{
	cell->complained = false;
}

static void
lost(Mover *mover, Cell *cell)
{
	transfer_lost(mover, cell);
	look_lost(mover, cell);
	cell->job = JOB_NONE;
	cell->has_lock = false;
	cell->next_lock = 0;
}

static void
answered(Mover *mover, Cell *cell, Millis now)
{
	switch (cell->job)
	{
		case JOB_LOCK:
		case JOB_UNLOCK:
			leader_answered(mover, cell, now);
			break;
		case JOB_SEND:
		case JOB_RECEIVE:
		case JOB_CONFIRM:
			transfer_answered(mover, cell, now);
			break;
		case JOB_LOOK:
			look_answered(mover, cell, now);
			break;
		case JOB_SURVEY:
			survey_answered(mover, cell, now);
			break;
		case JOB_HINT:
			hint_answered(mover, cell);
			break;
		case JOB_NONE:
			break;
	}
	cell->job = JOB_NONE;
	database_clear(&cell->work.database);
}

static void
begin_job(Mover *mover, Cell *cell, Millis now)
{
	if (leader_begin(mover, cell, now) || !mover->leading)
		return;
	if (transfer_begin(mover, cell, now) || hint_begin(mover, cell, now) || look_begin(mover, cell, now))
		return;
	survey_begin(mover, cell, now);
}

/* Whoever leads begins with what the cells say, not with what he knew when he led before. */
static void
forget(Mover *mover)
{
	transfer_forget(mover);
	look_forget(mover);
	resources_clear(&mover->resources);
}

void
mover_step(Mover *mover, Millis now)
{
	bool		was_leading = mover->leading;

	for (int i = 0; i < mover->ncells; i++)
	{
		Cell	   *cell = &mover->cells[i];
		DatabaseState state;

		link_step(&cell->work, now);
		state = cell->work.database.state;
		if (cell->work.lost)
			lost(mover, cell);
		else if (cell->work.prepared && (state == DATABASE_DONE || state == DATABASE_FAILED))
			answered(mover, cell, now);
	}
	leader_update(mover);
	if (was_leading && !mover->leading)
		forget(mover);
	for (int i = 0; i < mover->ncells; i++)
		wants_step(mover, &mover->cells[i], now);
	if (mover->leading)
		look_step(mover, now);
	for (int i = 0; i < mover->ncells; i++)
	{
		if (link_ready(&mover->cells[i].work))
			begin_job(mover, &mover->cells[i], now);
	}
	if (mover->metrics && now >= mover->next_metrics)
	{
		mover->next_metrics = now + METRICS_INTERVAL;
		metrics_write(mover);
	}
}

Millis
mover_deadline(const Mover *mover, Millis now)
{
	Millis		deadline = mover->metrics ? mover->next_metrics : NEVER;

	sooner(&deadline, leader_deadline(mover, now));
	for (int i = 0; i < mover->ncells; i++)
	{
		sooner(&deadline, link_deadline(&mover->cells[i].work));
		sooner(&deadline, wants_deadline(mover, &mover->cells[i]));
	}
	if (mover->leading)
	{
		sooner(&deadline, look_deadline(mover, now));
		sooner(&deadline, transfer_deadline(mover, now));
	}
	return deadline;
}

unsigned
mover_descriptors(const Mover *mover, struct pollfd *descriptors)
{
	unsigned	count = 0;

	for (int i = 0; i < mover->ncells; i++)
	{
		count += database_descriptor(&mover->cells[i].work.database, &descriptors[count]);
		count += database_descriptor(&mover->cells[i].wants.database, &descriptors[count]);
	}
	return count;
}

void
mover_finish(Mover *mover)
{
	mover->finishing = true;
	transfer_drop_plans(mover);
}

bool
mover_finished(const Mover *mover)
{
	Millis		now = clock_now();

	for (int i = 0; i < mover->ncells; i++)
	{
		Job			job = mover->cells[i].job;

		if ((job == JOB_SEND || job == JOB_RECEIVE || job == JOB_CONFIRM) && !cell_is_late(&mover->cells[i], now))
			return false;
	}
	return !transfer_is_moving(mover, NULL, now);
}

void
mover_close(Mover *mover)
{
	mover->leading = false;
	if (mover->metrics)
		metrics_write(mover);
	forget(mover);
	for (int i = 0; i < mover->ncells; i++)
	{
		database_close(&mover->cells[i].work.database);
		database_close(&mover->cells[i].wants.database);
		free(mover->cells[i].work.database.error);
		free(mover->cells[i].wants.database.error);
	}
	for (int kind = 0; kind < NKINDS; kind++)
		free(mover->round.ids[kind]);
	free(mover->round.asked);
	free(mover->round.answered);
	free(mover->cells);
	free(mover);
}

bool
mover_check(Mover *mover)
{
	bool		good = true;

	for (int i = 0; i < mover->ncells; i++)
	{
		Link	   *link = &mover->cells[i].work;

		while (!link->tried)
		{
			database_wait(&link->database);
			link_step(link, clock_now());
		}
		if (!link->prepared)
		{
			good = false;
			continue;
		}
		database_query(&link->database,
					   "SELECT FROM commerce.open_transfers LIMIT 0; SELECT FROM commerce.allotments LIMIT 0; "
					   "SELECT FROM commerce.wait_for_wants('0s'); "
					   "SELECT commerce.set_elsewhere('STOCK', '{}', '{}')");
		database_wait(&link->database);
		if (link->database.state != DATABASE_DONE)
		{
			log_error("cell %d: %s", link->number, link->database.error);
			good = false;
		}
	}
	return good;
}
