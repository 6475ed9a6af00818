/*
 * options.h
 *	  The command line.
 */
#ifndef MOVER_OPTIONS_H
#define MOVER_OPTIONS_H

#include <stdbool.h>

#include "cells.h"

typedef struct Options
{
	const char *metrics;		/* the file to write them to; or NULL */
	bool		check;
} Options;

/*
 * Reads the command line and the list of cells that it names.  Starts the log.  Ends the program for --help,
 * --version and with status 2 when anything is wrong.
 */
extern void options_read(int argc, char **argv, Options *options, CellList *cells);

#endif
