/*
 * options.h
 *	  What the command lines of all client programs have in common.
 */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include <getopt.h>

#include "client/log.h"

typedef struct Program
{
	const char *name;
	const char *version;
	const char *help;
} Program;

/* Values of long options without a letter: a program's own begin after OPTION_HELP. */
enum
{
	OPTION_HELP = 1000
};

/* The end of a program's long options, and of its letters. */
#define COMMON_OPTIONS \
	{"log-level", required_argument, NULL, 'l'}, \
	{"version", no_argument, NULL, 'V'}, \
	{"help", no_argument, NULL, OPTION_HELP}, \
	{NULL, 0, NULL, 0}
#define COMMON_LETTERS "l:V?"

/* Ends the program with exit status 2. */
extern void wrong_usage(const Program *program, const char *what, const char *why) __attribute__((noreturn));

/*
 * What getopt_long() has returned and is no option of the program's own: sets *level, or ends the program, for --help,
 * --version and with status 2 when it is wrong.
 */
extern void option_common(const Program *program, int option, char **argv, LogLevel *level);

/* Ends the program with status 2 when something stands behind the options. */
extern void options_end(const Program *program, int argc, char **argv);

#endif
