/*
 * database.h
 *	  A connection to the server that never blocks.
 */
#ifndef CLIENT_DATABASE_H
#define CLIENT_DATABASE_H

#include <poll.h>
#include <libpq-fe.h>

#include "client/util.h"

typedef enum DatabaseState
{
	DATABASE_CLOSED,
	DATABASE_CONNECTING,
	DATABASE_READY,
	DATABASE_BUSY,				/* a query is under way */
	DATABASE_DONE,				/* its results are there */
	DATABASE_FAILED				/* it has failed; the connection has not */
} DatabaseState;

typedef struct Database
{
	DatabaseState state;
	PGconn	   *connection;
	PostgresPollingStatusType polling;	/* while connecting */
	Millis		deadline;		/* of what is under way */
	PGresult  **results;		/* of each statement of the query */
	int			nresults;
	char	   *error;			/* why it was closed, or the query has failed; or NULL */
	char		sqlstate[6];	/* of a query that has failed */
} Database;

/*
 * Begins to connect.  conninfo: NULL, a database's name or a connection string; the session is to be known
 * as application_name.
 */
extern void database_connect(Database *database, const char *conninfo, const char *application_name);

/* Begins a query of one or several statements; several are one transaction. */
extern void database_query(Database *database, const char *sql);

/* Of a query; without a value it is null. */
typedef struct Parameter
{
	const char *value;			/* as text, or the bytes of a bytea */
	bool		is_bytea;
	int			length;			/* of a bytea */
} Parameter;

#define MAX_PARAMETERS	5

/* Begins a query of one statement with parameters. */
extern void database_query_with(Database *database, const char *sql, const Parameter *parameters, int nparameters);

/* Begins a query that the session has prepared by this name. */
extern void database_query_prepared(Database *database, const char *name, const Parameter *parameters, int nparameters);

/* Does what can be done without waiting.  A server that does not answer in time loses the connection. */
extern void database_step(Database *database, Millis now);

/* Waits until a query is done or has failed, or a connection is made or lost; for the beginning. */
extern void database_wait(Database *database);

/* Gives up the results: from DATABASE_DONE or DATABASE_FAILED to DATABASE_READY. */
extern void database_clear(Database *database);

extern void database_close(Database *database);

/* Whether a notification has come since the last call. */
extern bool database_notified(Database *database);

/* What to wait for; false when nothing. */
extern bool database_descriptor(const Database *database, struct pollfd *descriptor);

#endif
