/*
 * options.c
 *	  What the command lines of all client programs have in common.
 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void __attribute__((noreturn))
show_help(const Program *program)
{
	fputs(program->help, stdout);
	exit(0);
}

void
wrong_usage(const Program *program, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\nTry \"%s --help\".\n", program->name, what, why, program->name);
	exit(2);
}

void
option_common(const Program *program, int option, char **argv, LogLevel *level)
{
	switch (option)
	{
		case 'l':
			if (!log_level_parse(optarg, level))
				wrong_usage(program, optarg, "a level is error, warning, info or debug");
			break;
		case OPTION_HELP:
			show_help(program);
		case 'V':
			printf("%s %s\n", program->name, program->version);
			exit(0);
		default:
			/* getopt says ? of what it does not know too, and has complained */
			if (strcmp(argv[optind - 1], "-?") == 0)
				show_help(program);
			fprintf(stderr, "Try \"%s --help\".\n", program->name);
			exit(2);
	}
}

void
options_end(const Program *program, int argc, char **argv)
{
	if (optind < argc)
		wrong_usage(program, argv[optind], "there are options only");
}
