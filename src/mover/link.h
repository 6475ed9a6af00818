/*
 * link.h
 *	  A connection to a cell that is made again when it is lost.
 */
#ifndef MOVER_LINK_H
#define MOVER_LINK_H

#include "client/database.h"

typedef struct Link
{
	Database	database;
	int			number;			/* of the cell */
	const char *conninfo;
	const char *purpose;		/* for the session's name, and for the log; or "" */
	const char *statements;		/* that the session begins with, each with its semicolon; or "" */
	bool		prepared;		/* the session's settings are made, and it is the right cell */
	bool		tried;			/* it was made or has failed, since link_reset() */
	bool		lost;			/* in the last link_step() */
	bool		complained;		/* that it cannot be made: once is enough */
	Millis		next_connect;
	Millis		delay;			/* before the next try */
} Link;

extern void link_init(Link *link, int number, const char *conninfo, const char *purpose, const char *statements);

/* Does what can be done now.  What is in the database's state once it is prepared is the caller's. */
extern void link_step(Link *link, Millis now);

/* Whether a query can be begun. */
extern bool link_ready(const Link *link);

/* When to call link_step() again at the latest. */
extern Millis link_deadline(const Link *link);

/* Closes it, to be made again at once. */
extern void link_reset(Link *link);

#endif
