/*
 * link.c
 *	  A connection to a cell that is made again when it is lost, with growing pauses.
 *
 * Before anything else it asks the cell for its number: units that go to the wrong cell would be in nobody's books.
 */
#include "link.h"

#include <stdlib.h>
#include <string.h>

#include "client/log.h"

#define RECONNECT_MIN	100
#define RECONNECT_MAX	1000

void
link_init(Link *link, int number, const char *conninfo, const char *purpose, const char *statements)
{
	*link = (Link) {.number = number, .conninfo = conninfo, .purpose = purpose, .statements = statements, .delay = RECONNECT_MIN};
}

static void
begin(Link *link)
{
	char	   *name = xformat("commerce-mover%s", link->purpose);

	database_connect(&link->database, link->conninfo, name);
	free(name);
}

static void
prepare(Link *link)
{
	/*
	 * A session whose mover is gone is not to wait on.  Its statements are short, or wait_for_wants().
	 *
	 * What is planned once is to be right for a table that has grown meanwhile.
	 */
	char	   *sql = xformat("SET search_path = ''; SET datestyle = 'ISO'; SET jit = off; SET statement_timeout = '20s'; "
							  "SET client_connection_check_interval = '100ms'; SET enable_seqscan = off; "
							  "SET plan_cache_mode = force_generic_plan; %s"
							  "SELECT commerce.cell_number()", link->statements);

	database_query(&link->database, sql);
	free(sql);
}

static void
complain(Link *link, const char *why)
{
	if (link->complained)
		log_debug("cell %d%s: %s", link->number, link->purpose, why);
	else
		log_error("cell %d%s: %s; trying again", link->number, link->purpose, why);
	link->complained = true;
}

static void
fail(Link *link, const char *why, Millis now)
{
	complain(link, why);
	database_close(&link->database);
	link->prepared = false;
	link->tried = true;
	link->lost = true;
	link->next_connect = now + link->delay;
	link->delay *= 2;
	if (link->delay > RECONNECT_MAX)
		link->delay = RECONNECT_MAX;
}

static void
check_number(Link *link, Millis now)
{
	const Database *database = &link->database;
	const char *number = PQgetvalue(database->results[database->nresults - 1], 0, 0);
	char	   *why;

	if (atoi(number) != link->number)
	{
		why = xformat("this is cell %s, and the list has another number", number);
		fail(link, why, now);
		free(why);
		return;
	}
	database_clear(&link->database);
	if (link->complained)
		log_info("cell %d%s: connected", link->number, link->purpose);
	link->complained = false;
	link->prepared = true;
	link->tried = true;
	link->delay = RECONNECT_MIN;
}

void
link_step(Link *link, Millis now)
{
	Database   *database = &link->database;
	bool		was_open = database->state != DATABASE_CLOSED;

	link->lost = false;
	database_step(database, now);
	if (database->state == DATABASE_CLOSED)
	{
		/* it may have been closed when a query was begun */
		if (was_open || link->prepared)
			fail(link, database->error, now);
		else if (now >= link->next_connect)
		{
			begin(link);
			if (database->state == DATABASE_CLOSED)
				fail(link, database->error, now);
		}
	}
	else if (!link->prepared)
	{
		if (database->state == DATABASE_READY)
		{
			prepare(link);
			if (database->state == DATABASE_CLOSED)
				fail(link, database->error, now);
		}
		else if (database->state == DATABASE_FAILED)
			fail(link, database->error, now);
		else if (database->state == DATABASE_DONE)
			check_number(link, now);
	}
}

bool
link_ready(const Link *link)
{
	return link->prepared && link->database.state == DATABASE_READY;
}

Millis
link_deadline(const Link *link)
{
	switch (link->database.state)
	{
		case DATABASE_CLOSED:
			return link->next_connect;
		case DATABASE_CONNECTING:
		case DATABASE_BUSY:
			return link->database.deadline;
		case DATABASE_READY:
		case DATABASE_DONE:
		case DATABASE_FAILED:
			break;
	}
	return NEVER;
}

void
link_reset(Link *link)
{
	database_close(&link->database);
	link->prepared = false;
	link->tried = false;
	link->next_connect = 0;
}
