/*
 * hint.c
 *	  What each cell is told that the others have: by it a cell may say that the shop is sold out.
 *
 * The cell takes a hint for what is so when it arrives.  So one that is not quite new any more, such as after a wait for
 * a slow cell, is not given.
 */
#include "hint.h"

#include "client/buffer.h"

#define MOST_HINTS		500		/* at a time */
#define FRESH_TIME		300

/* Appends the due hints of a kind to two arrays, and takes them off; returns how many. */
static int
take_due(Mover *mover, int place, UnitKind kind, PQExpBuffer ids, PQExpBuffer units, Millis now)
{
	int			count = 0;

	for (int i = 0; i < mover->resources.count && count < MOST_HINTS; i++)
	{
		const Resource *resource = mover->resources.items[i];
		Holding    *holding = &mover->resources.items[i]->cells[place];

		if (!holding->hint_due || resource->kind != kind)
			continue;
		holding->hint_due = false;
		if (now - holding->elsewhere_at > FRESH_TIME)
			continue;
		appendPQExpBuffer(ids, "%s%lld", count > 0 ? "," : "{", (long long) resource->id);
		appendPQExpBuffer(units, "%s%lld", count > 0 ? "," : "{", (long long) holding->elsewhere);
		count++;
	}
	appendPQExpBufferChar(ids, '}');
	appendPQExpBufferChar(units, '}');
	buffer_check(ids);
	buffer_check(units);
	return count;
}

bool
hint_begin(Mover *mover, Cell *cell, Millis now)
{
	int			count = 0;

	for (int kind = 0; kind < NKINDS && count == 0; kind++)
	{
		PQExpBufferData ids;
		PQExpBufferData units;

		initPQExpBuffer(&ids);
		initPQExpBuffer(&units);
		count = take_due(mover, (int) (cell - mover->cells), (UnitKind) kind, &ids, &units, now);
		if (count > 0)
		{
			Parameter	parameters[] = {{.value = kind_names[kind]}, {.value = ids.data}, {.value = units.data}};

			cell_ask(cell, JOB_HINT, "SELECT commerce.set_elsewhere($1, $2, $3)", parameters, 3);
			cell->hints_written += count;
		}
		termPQExpBuffer(&ids);
		termPQExpBuffer(&units);
	}
	return count > 0;
}

void
hint_answered(Mover *mover, Cell *cell)
{
	if (cell_answer(cell) == NULL)
		cell_complain(cell, &cell->work, "could not tell it what the others have");
}
