/*
 * database.c
 *	  A connection to the server that never blocks.
 */
#include "client/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/log.h"

#define CONNECT_TIMEOUT	10000
#define QUERY_TIMEOUT	60000

/* why may be the error that is there already. */
static void
set_error(Database *database, const char *why)
{
	char	   *copy = xstrdup(why);
	size_t		length = strlen(copy);

	while (length > 0 && copy[length - 1] == '\n')
		copy[--length] = '\0';
	free(database->error);
	database->error = copy;
}

static void
fail(Database *database, const char *why)
{
	set_error(database, why);
	database_close(database);
}

void
database_connect(Database *database, const char *conninfo, const char *application_name)
{
	/* a later one wins, and dbname may be a whole connection string */
	const char *const keywords[] = {"dbname", "application_name", "client_encoding", NULL};
	const char *const values[] = {conninfo, application_name, "UTF8", NULL};

	database_close(database);
	database->connection = PQconnectStartParams(keywords, values, 1);
	if (database->connection == NULL)
		log_fatal("out of memory");
	database->state = DATABASE_CONNECTING;
	database->polling = PGRES_POLLING_WRITING;
	database->deadline = clock_now() + CONNECT_TIMEOUT;
	if (PQstatus(database->connection) == CONNECTION_BAD)
		fail(database, PQerrorMessage(database->connection));
}

void
database_query(Database *database, const char *sql)
{
	database->state = DATABASE_BUSY;
	database->deadline = clock_now() + QUERY_TIMEOUT;
	if (!PQsendQuery(database->connection, sql) || PQflush(database->connection) < 0)
		fail(database, PQerrorMessage(database->connection));
}

/* sql: a statement, or NULL where the session has prepared one by this name */
static void
send_query(Database *database, const char *sql, const char *name, const Parameter *parameters, int nparameters)
{
	const char *values[MAX_PARAMETERS];
	int			lengths[MAX_PARAMETERS];
	int			formats[MAX_PARAMETERS];
	int			sent;

	for (int i = 0; i < nparameters; i++)
	{
		values[i] = parameters[i].value;
		lengths[i] = parameters[i].length;
		formats[i] = parameters[i].is_bytea;
	}
	database->state = DATABASE_BUSY;
	database->deadline = clock_now() + QUERY_TIMEOUT;
	if (sql)
		sent = PQsendQueryParams(database->connection, sql, nparameters, NULL, values, lengths, formats, 0);
	else
		sent = PQsendQueryPrepared(database->connection, name, nparameters, values, lengths, formats, 0);
	if (!sent || PQflush(database->connection) < 0)
		fail(database, PQerrorMessage(database->connection));
}

void
database_query_with(Database *database, const char *sql, const Parameter *parameters, int nparameters)
{
	send_query(database, sql, NULL, parameters, nparameters);
}

void
database_query_prepared(Database *database, const char *name, const Parameter *parameters, int nparameters)
{
	send_query(database, NULL, name, parameters, nparameters);
}

/* Waits for what the connection waits for; false when that has not come in time. */
static bool
wait_for_socket(const Database *database, int timeout)
{
	struct pollfd descriptor;

	/* without a socket libpq has something to say at once */
	return !database_descriptor(database, &descriptor) || poll(&descriptor, 1, timeout) > 0;
}

static void
step_connecting(Database *database)
{
	/* PQconnectPoll() may be called only when the socket is ready */
	if (!wait_for_socket(database, 0))
		return;
	database->polling = PQconnectPoll(database->connection);
	if (database->polling == PGRES_POLLING_FAILED)
		fail(database, PQerrorMessage(database->connection));
	else if (database->polling == PGRES_POLLING_OK)
	{
		if (PQsetnonblocking(database->connection, 1) != 0)
			fail(database, PQerrorMessage(database->connection));
		else
			database->state = DATABASE_READY;
	}
}

static void
keep_result(Database *database, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
	{
		database->results = xrealloc(database->results, sizeof(PGresult *) * (size_t) (database->nresults + 1));
		database->results[database->nresults++] = result;
	}
	else
	{
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

		/* the first one says why; another one follows when that was the end of the connection */
		if (database->sqlstate[0] == '\0')
		{
			set_error(database, PQresultErrorMessage(result));
			snprintf(database->sqlstate, sizeof(database->sqlstate), "%s", sqlstate ? sqlstate : "XX000");
		}
		PQclear(result);
	}
}

static void
step_busy(Database *database)
{
	while (!PQisBusy(database->connection))
	{
		PGresult   *result = PQgetResult(database->connection);

		if (result != NULL)
			keep_result(database, result);
		else if (PQstatus(database->connection) == CONNECTION_BAD)
			fail(database, database->sqlstate[0] ? database->error : PQerrorMessage(database->connection));
		else
			database->state = database->sqlstate[0] ? DATABASE_FAILED : DATABASE_DONE;
		if (result == NULL)
			return;
	}
}

void
database_step(Database *database, Millis now)
{
	switch (database->state)
	{
		case DATABASE_CLOSED:
		case DATABASE_DONE:
		case DATABASE_FAILED:
			return;
		case DATABASE_CONNECTING:
			step_connecting(database);
			break;
		case DATABASE_READY:
		case DATABASE_BUSY:
			if (PQflush(database->connection) < 0 || !PQconsumeInput(database->connection))
				fail(database, PQerrorMessage(database->connection));
			else if (database->state == DATABASE_BUSY)
				step_busy(database);
			break;
	}
	if ((database->state == DATABASE_CONNECTING || database->state == DATABASE_BUSY) && now > database->deadline)
		fail(database, "the server does not answer");
}

void
database_clear(Database *database)
{
	for (int i = 0; i < database->nresults; i++)
		PQclear(database->results[i]);
	free(database->results);
	database->results = NULL;
	database->nresults = 0;
	database->sqlstate[0] = '\0';
	if (database->state == DATABASE_DONE || database->state == DATABASE_FAILED)
		database->state = DATABASE_READY;
}

void
database_close(Database *database)
{
	database_clear(database);
	if (database->connection)
		PQfinish(database->connection);
	database->connection = NULL;
	database->state = DATABASE_CLOSED;
}

void
database_wait(Database *database)
{
	while (database->state == DATABASE_CONNECTING || database->state == DATABASE_BUSY)
	{
		wait_for_socket(database, 1000);
		database_step(database, clock_now());
	}
}

bool
database_notified(Database *database)
{
	bool		any = false;
	PGnotify   *notification;

	if (database->connection == NULL)
		return false;
	while ((notification = PQnotifies(database->connection)) != NULL)
	{
		any = true;
		PQfreemem(notification);
	}
	return any;
}

bool
database_descriptor(const Database *database, struct pollfd *descriptor)
{
	if (database->connection == NULL || PQsocket(database->connection) < 0)
		return false;
	descriptor->fd = PQsocket(database->connection);
	descriptor->events = POLLIN;
	descriptor->revents = 0;
	if (database->state == DATABASE_CONNECTING)
		descriptor->events = database->polling == PGRES_POLLING_WRITING ? POLLOUT : POLLIN;
	else if (PQflush(database->connection) > 0)
		descriptor->events |= POLLOUT;
	return true;
}
