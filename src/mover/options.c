/*
 * options.c
 *	  The command line.
 */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "client/options.h"

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
	OPTION_CHECK = OPTION_HELP + 1
};

static const struct option long_options[] = {
	{"cells", required_argument, NULL, 'c'},
	{"metrics", required_argument, NULL, 'm'},
	{"check", no_argument, NULL, OPTION_CHECK},
	COMMON_OPTIONS
};

static const Program program = {"commerce-mover", MOVER_VERSION, help};

void
options_read(int argc, char **argv, Options *options, CellList *cells)
{
	const char *file = NULL;
	LogLevel	level = LOG_LEVEL_INFO;
	int			c;

	memset(options, 0, sizeof(Options));
	while ((c = getopt_long(argc, argv, "c:m:" COMMON_LETTERS, long_options, NULL)) != -1)
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
			default:
				option_common(&program, c, argv, &level);
		}
	}
	options_end(&program, argc, argv);
	if (file == NULL)
		wrong_usage(&program, "--cells", "a list of cells is wanted");

	log_start(level);
	if (!cells_read(file, cells))
		exit(2);
}
