/*
 * options.c
 *	  The command line.
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/log.h"

static const char help[] =
"commerce-mover moves units of stock and quota to the cells of a shop that sell them.\n"
"\n"
"Usage:\n"
"  commerce-mover --cells=FILE [OPTION]...\n"
"\n"
"Options:\n"
"  -c, --cells=FILE           the list of cells\n"
"  -m, --metrics=FILE         where to write metrics, as text that Prometheus understands\n"
"      --check                check the list and the connections, then end\n"
"  -l, --log-level=LEVEL      error, warning, info (default) or debug\n"
"  -V, --version              the version, then end\n"
"  -?, --help                 this, then end\n"
"\n"
"The list has a line for each cell: its number, host:port of its PostgREST or -, and how libpq connects:\n"
"  0  10.0.0.1:3000  host=10.0.0.1 dbname=shop\n"
"  1  10.0.0.2:3000  host=10.0.0.2 dbname=shop\n"
"\n"
"In each cell:\n"
"  CREATE ROLE mover LOGIN;\n"
"  SELECT commerce.grant_mover('mover');\n"
"\n"
"Environment variables of libpq are honoured (PGUSER, PGPASSFILE and so on).\n"
"\n"
"Exit status: 0 done; 1 a failure; 2 wrong usage or a wrong list.\n";

enum
{
	OPTION_CHECK = 1000,
	OPTION_HELP
};

static const struct option long_options[] = {
	{"cells", required_argument, NULL, 'c'},
	{"metrics", required_argument, NULL, 'm'},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"log-level", required_argument, NULL, 'l'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0}
};

static void __attribute__((noreturn))
show_help(void)
{
	fputs(help, stdout);
	exit(0);
}

static void __attribute__((noreturn))
wrong_usage(const char *what, const char *why)
{
	fprintf(stderr, "commerce-mover: %s: %s\nTry \"commerce-mover --help\".\n", what, why);
	exit(2);
}

void
options_read(int argc, char **argv, Options *options, CellList *cells)
{
	const char *file = NULL;
	LogLevel	level = LOG_LEVEL_INFO;
	int			c;

	memset(options, 0, sizeof(Options));
	while ((c = getopt_long(argc, argv, "c:m:l:V?", long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'c':
				file = optarg;
				break;
			case 'm':
				options->metrics = optarg;
				break;
			case OPTION_CHECK:
				options->check = true;
				break;
			case 'l':
				if (!log_level_parse(optarg, &level))
					wrong_usage(optarg, "a level is error, warning, info or debug");
				break;
			case OPTION_HELP:
				show_help();
			case 'V':
				puts("commerce-mover " MOVER_VERSION);
				exit(0);
			default:
				/* getopt says ? of what it does not know too, and has complained */
				if (strcmp(argv[optind - 1], "-?") == 0)
					show_help();
				fputs("Try \"commerce-mover --help\".\n", stderr);
				exit(2);
		}
	}
	if (optind < argc)
		wrong_usage(argv[optind], "there are options only");
	if (file == NULL)
		wrong_usage("--cells", "a list of cells is wanted");

	log_start(level);
	if (!cells_read(file, cells))
		exit(2);
}
