/*
 * options.h
 *	  The command line.
 */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include <stdbool.h>

#include "config.h"
#include "client/log.h"

typedef struct Options
{
	bool		once;
	bool		check;
	bool		redeliver_payments;
	char	  **subscriptions;	/* only these; none: all */
	int			nsubscriptions;
} Options;

/*
 * Reads the command line and the file that it names.  Starts the log.  Ends the program for --help,
 * --version and with status 2 when anything is wrong.
 */
extern void options_read(int argc, char **argv, Options *options, Config *config);

#endif
