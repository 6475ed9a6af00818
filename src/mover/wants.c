/*
 * wants.c
 *	  Who waits for units in a cell: asked on a connection of its own, which the server answers when there is somebody.
 */
#include "wants.h"

#include <stdlib.h>

#define WAIT_TIME		"5s"	/* how long the server waits for somebody */
#define PAUSE			10		/* after an answer, while it is served */
#define RETRY_DELAY		1000	/* after a failure */
#define WANT_TIME		1000	/* whoever waits longer says so again */

/* It waits nearly all the time, and each look whether the mover is gone wakes it. */
const char *const wants_statements = "SET client_connection_check_interval = '1s'; ";

static void
note_wants(Mover *mover, Cell *cell, const PGresult *answer, Millis now)
{
	int			place = (int) (cell - mover->cells);

	for (int row = 0; row < PQntuples(answer); row++)
	{
		Resource   *resource = resource_get(&mover->resources, kind_parse(PQgetvalue(answer, row, 0)),
											strtoll(PQgetvalue(answer, row, 1), NULL, 10));
		Holding    *holding = &resource->cells[place];

		holding->wanted = strtoll(PQgetvalue(answer, row, 2), NULL, 10);
		holding->want_until = now + WANT_TIME;
		resource->last_want = now;
		resource->next_look = now;
		cell->wants_seen++;
	}
}

void
wants_step(Mover *mover, Cell *cell, Millis now)
{
	Link	   *link = &cell->wants;
	Database   *database = &link->database;

	if (!mover->leading || mover->finishing)
	{
		link_reset(link);
		return;
	}
	link_step(link, now);
	if (!link->prepared)
		return;
	if (database->state == DATABASE_FAILED)
	{
		cell_complain(cell, link, "could not wait for wants");
		database_clear(database);
		cell->next_wait = now + RETRY_DELAY;
	}
	else if (database->state == DATABASE_DONE)
	{
		note_wants(mover, cell, database->results[0], now);
		database_clear(database);
		cell->next_wait = now + PAUSE;
	}
	if (link_ready(link) && now >= cell->next_wait)
		database_query(database, "SELECT w.kind, w.resource_id, w.wanted FROM commerce.wait_for_wants('" WAIT_TIME "') w");
}

Millis
wants_deadline(const Mover *mover, const Cell *cell)
{
	if (!mover->leading || mover->finishing)
		return NEVER;
	return link_ready(&cell->wants) ? cell->next_wait : link_deadline(&cell->wants);
}
