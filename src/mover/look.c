/*
 * look.c
 *	  What the cells have: asked of all of them at a time, after which it is decided what is to move and what the cells
 *	  are to be told of each other.
 *
 * A cell says in one snapshot what it has and what it has sent that is not delivered.  It has what overdue orders hold,
 * too: they make way when it is sent.  The cells' snapshots differ: a
 * unit that another mover brings from one cell to another between them may be in neither.  So a cell is told that the
 * others have nothing only when two looks in a row have seen that, close to each other, each with an answer of every
 * cell, nothing on its way, and nothing moved by this mover meanwhile.  What both have missed was moved twice, by
 * somebody who does not lead.
 */
#include "look.h"

#include <stdlib.h>
#include <string.h>

#include "client/buffer.h"
#include "plan.h"
#include "transfer.h"

#define PATIENCE		500		/* who has not answered then is not known */
#define IDLE_INTERVAL	1000	/* for transfers that others have left */
#define WANT_INTERVAL	25		/* while somebody waits for what cannot be had */
#define SURVEY_INTERVAL	5000
#define MOST_RESOURCES	500		/* in a look */
#define MOST_MOVES		16		/* of a resource, at a time */
#define CLOSE_TIME		600		/* between two looks in a row */
#define HINT_INTERVAL	900		/* a hint that has not changed is given again */

/* Planning them takes longer than a look at a few resources. */
const char *const look_statements =
	"PREPARE look (bigint[], bigint[]) AS "
	"SELECT a.kind, a.resource_id, a.available + a.overdue, a.taken, NULL::uuid, NULL::int FROM commerce.allotments a "
	"WHERE a.kind = 'STOCK' AND a.resource_id = ANY ($1) UNION ALL "
	"SELECT a.kind, a.resource_id, a.available, a.taken, NULL::uuid, NULL::int FROM commerce.allotments a "
	"WHERE a.kind = 'QUOTA' AND a.resource_id = ANY ($2) UNION ALL "
	"SELECT t.kind, t.resource_id, t.units, NULL::bigint, t.id, t.to_cell FROM commerce.open_transfers t; "
	"PREPARE survey AS SELECT a.kind, a.resource_id, a.taken FROM commerce.allotments a WHERE a.taken IS NOT NULL; ";

static void
choose_resources(Mover *mover, Millis now)
{
	PQExpBufferData ids[NKINDS];
	int			count = 0;

	for (int kind = 0; kind < NKINDS; kind++)
	{
		initPQExpBuffer(&ids[kind]);
		appendPQExpBufferChar(&ids[kind], '{');
	}
	for (int i = 0; i < mover->resources.count && count < MOST_RESOURCES; i++)
	{
		Resource   *resource = mover->resources.items[i];
		PQExpBuffer list = &ids[resource->kind];

		if (resource->next_look > now)
			continue;
		resource->round = mover->round.number;
		appendPQExpBuffer(list, "%s%lld", list->len > 1 ? "," : "", (long long) resource->id);
		count++;
	}
	for (int kind = 0; kind < NKINDS; kind++)
	{
		appendPQExpBufferChar(&ids[kind], '}');
		buffer_check(&ids[kind]);
		free(mover->round.ids[kind]);
		mover->round.ids[kind] = xstrdup(ids[kind].data);
		termPQExpBuffer(&ids[kind]);
	}
}

static void
begin_round(Mover *mover, Millis now)
{
	Round	   *round = &mover->round;

	round->number++;
	round->under_way = true;
	round->began = now;
	round->deadline = now + PATIENCE;
	round->next = now + IDLE_INTERVAL;
	mover->rounds++;
	for (int i = 0; i < mover->ncells; i++)
	{
		round->asked[i] = cell_is_up(&mover->cells[i]) && !cell_is_late(&mover->cells[i], now);
		round->answered[i] = false;
	}
	choose_resources(mover, now);
}

bool
look_begin(Mover *mover, Cell *cell, Millis now)
{
	Round	   *round = &mover->round;
	Parameter	parameters[NKINDS];

	if (!round->under_way || !round->asked[cell - mover->cells] || cell->round == round->number)
		return false;
	cell->round = round->number;
	for (int kind = 0; kind < NKINDS; kind++)
		parameters[kind] = (Parameter) {.value = round->ids[kind]};
	cell_ask_prepared(cell, JOB_LOOK, "look", parameters, NKINDS);
	return true;
}

static int64_t
number_at(const PGresult *answer, int row, int column)
{
	return PQgetisnull(answer, row, column) ? -1 : strtoll(PQgetvalue(answer, row, column), NULL, 10);
}

static Resource *
resource_at(Mover *mover, const PGresult *answer, int row)
{
	return resource_get(&mover->resources, kind_parse(PQgetvalue(answer, row, 0)), number_at(answer, row, 1));
}

void
look_answered(Mover *mover, Cell *cell, Millis now)
{
	int			place = (int) (cell - mover->cells);
	Round	   *round = &mover->round;
	const PGresult *answer = cell_answer(cell);

	if (cell->round != round->number || !round->under_way)
		return;
	if (answer == NULL)
	{
		cell_complain(cell, &cell->work, "could not look at its units");
		round->asked[place] = false;
		return;
	}
	cell_recovered(cell);
	round->answered[place] = true;
	for (int row = 0; row < PQntuples(answer); row++)
	{
		Resource   *resource = resource_at(mover, answer, row);

		if (PQgetisnull(answer, row, 4))
		{
			resource->cells[place].round = round->number;
			resource->cells[place].available = number_at(answer, row, 2);
			resource_saw_taken(resource, place, number_at(answer, row, 3), now);
		}
		else
			transfer_adopt(mover, place, PQgetvalue(answer, row, 4), resource, number_at(answer, row, 2),
						   mover_find_cell(mover, (int) number_at(answer, row, 5)));
	}
}

void
look_lost(Mover *mover, Cell *cell)
{
	mover->round.asked[cell - mover->cells] = false;
}

/*
 * What a look has come to
 */

/* What all cells have that have answered, and what is on its way. */
static int64_t
sum_units(const Mover *mover, const Resource *resource, const Share *shares, bool *all_known)
{
	int64_t		units = transfer_coming(mover, resource, -1);

	*all_known = true;
	for (int i = 0; i < mover->ncells; i++)
	{
		*all_known = *all_known && shares[i].known;
		if (shares[i].known)
			units += shares[i].available;
	}
	return units;
}

/* The cell's hint, when others have so many units; returns whether it should be looked at again at once. */
static bool
decide_hint(const Mover *mover, Holding *holding, int64_t elsewhere, Millis now)
{
	Millis		emptied = holding->empty_at;

	holding->empty_at = elsewhere == 0 ? now : 0;
	if (elsewhere == 0 && (emptied == 0 || mover->round.began - emptied > CLOSE_TIME))
		return true;
	if (elsewhere > 0 && elsewhere == holding->elsewhere && holding->elsewhere_at != 0 &&
		now - holding->elsewhere_at < HINT_INTERVAL)
		return false;
	holding->elsewhere = elsewhere;
	holding->elsewhere_at = now;
	holding->hint_due = true;
	return false;
}

/* Returns whether it should be looked at again at once. */
static bool
decide_hints(const Mover *mover, Resource *resource, const Share *shares, Millis now)
{
	bool		all_known;
	int64_t		units = sum_units(mover, resource, shares, &all_known);
	bool		again = false;

	for (int i = 0; i < mover->ncells; i++)
	{
		/* who has not answered may have any number */
		if (all_known)
			again |= decide_hint(mover, &resource->cells[i], units - shares[i].available, now);
		else
			resource->cells[i].empty_at = 0;
	}
	return again;
}

/* What was going to be said, and was seen, is not so any more. */
static void
forget_hints(const Mover *mover, Resource *resource)
{
	for (int i = 0; i < mover->ncells; i++)
	{
		resource->cells[i].empty_at = 0;
		resource->cells[i].hint_due = false;
	}
}

static bool
is_wanted(const Mover *mover, const Resource *resource, Millis now)
{
	for (int i = 0; i < mover->ncells; i++)
	{
		if (resource_wanted(resource, i, now) > 0)
			return true;
	}
	return false;
}

static void
decide(Mover *mover, Resource *resource, Share *shares, Millis now)
{
	Move		moves[MOST_MOVES];
	int			nmoves;

	resource->last_look = now;
	resource->next_look = resource_due(resource, mover->ncells, now);
	/* what has moved meanwhile may be in neither of two cells, or in both */
	if (transfer_is_moving(mover, resource, now) || resource->moved_round == resource->round)
	{
		forget_hints(mover, resource);
		if (!transfer_is_moving(mover, resource, now))
			resource->next_look = now;
		return;
	}
	for (int i = 0; i < mover->ncells; i++)
	{
		const Holding *holding = &resource->cells[i];

		shares[i] = (Share) {0};
		if (!mover->round.answered[i] || holding->round != resource->round)
			continue;
		shares[i] = (Share) {true, holding->available, transfer_coming(mover, resource, i),
			resource_wanted(resource, i, now), holding->rate};
	}
	nmoves = plan_moves(shares, mover->ncells, moves, MOST_MOVES);
	if (nmoves > 0)
	{
		forget_hints(mover, resource);
		for (int i = 0; i < nmoves; i++)
			transfer_plan(mover, resource, &moves[i]);
	}
	else if (decide_hints(mover, resource, shares, now) && resource->next_look != NEVER)
		resource->next_look = now;
	else if (is_wanted(mover, resource, now))
		resource->next_look = now + WANT_INTERVAL;
}

static bool
all_answered(const Round *round, int ncells)
{
	for (int i = 0; i < ncells; i++)
	{
		if (round->asked[i] && !round->answered[i])
			return false;
	}
	return true;
}

static void
end_round(Mover *mover, Millis now)
{
	Share	   *shares = xcalloc((size_t) mover->ncells, sizeof(Share));

	mover->round.under_way = false;
	for (int i = 0; i < mover->resources.count; i++)
	{
		if (mover->resources.items[i]->round == mover->round.number)
			decide(mover, mover->resources.items[i], shares, now);
	}
	free(shares);
}

static Millis
next_round(const Mover *mover)
{
	Millis		deadline = mover->round.next;

	for (int i = 0; i < mover->resources.count; i++)
		sooner(&deadline, mover->resources.items[i]->next_look);
	return deadline;
}

void
look_step(Mover *mover, Millis now)
{
	if (mover->round.under_way && (all_answered(&mover->round, mover->ncells) || now >= mover->round.deadline))
		end_round(mover, now);
	if (!mover->round.under_way && !mover->finishing && now >= next_round(mover))
		begin_round(mover, now);
}

Millis
look_deadline(const Mover *mover, Millis now)
{
	Millis		deadline = mover->round.under_way ? mover->round.deadline : next_round(mover);

	if (mover->finishing)
		return NEVER;
	for (int i = 0; i < mover->ncells; i++)
	{
		if (link_ready(&mover->cells[i].work))
			sooner(&deadline, mover->cells[i].next_survey);
	}
	return deadline;
}

void
look_forget(Mover *mover)
{
	mover->round.under_way = false;
	mover->round.next = 0;
}

/*
 * Surveys: what the cells have sold, so that it is looked at
 */

bool
survey_begin(Mover *mover, Cell *cell, Millis now)
{
	if (now < cell->next_survey || mover->finishing)
		return false;
	cell->next_survey = now + SURVEY_INTERVAL;
	cell_ask_prepared(cell, JOB_SURVEY, "survey", NULL, 0);
	return true;
}

void
survey_answered(Mover *mover, Cell *cell, Millis now)
{
	const PGresult *answer = cell_answer(cell);

	if (answer == NULL)
	{
		cell_complain(cell, &cell->work, "could not ask what it has sold");
		return;
	}
	for (int row = 0; row < PQntuples(answer); row++)
	{
		Resource   *resource = resource_at(mover, answer, row);

		resource_saw_taken(resource, (int) (cell - mover->cells), number_at(answer, row, 2), now);
		sooner(&resource->next_look, resource_due(resource, mover->ncells, now));
	}
}
