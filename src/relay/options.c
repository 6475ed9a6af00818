/*
 * options.c
 *	  The command line.
 */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "client/options.h"

static const char help[] =
"commerce-relay delivers the events of commerce to HTTP endpoints and Kafka topics.\n"
"\n"
"Usage:\n"
"  commerce-relay [OPTION]...\n"
"\n"
"Options:\n"
"  -d, --dbname=CONNINFO      database, or a whole connection string\n"
"  -c, --config=FILE          secrets and settings\n"
"  -s, --subscription=NAME    deliver this subscription; may be repeated (default: all)\n"
"  -o, --option=NAME=VALUE    a setting of the file's section [relay]\n"
"      --once                 deliver what is there, then end\n"
"      --check                check configuration and connection, then end\n"
"      --redeliver-payments   have payment results that were given up tried again, then end\n"
"  -l, --log-level=LEVEL      error, warning, info (default) or debug\n"
"  -V, --version              the version, then end\n"
"  -?, --help                 this, then end\n"
"\n"
"How to begin, in the database:\n"
"  CREATE ROLE relay LOGIN;\n"
"  SELECT commerce.grant_relay('relay');\n"
"  SELECT commerce.subscribe('data-platform');\n"
"  SELECT commerce.set_http_sink('data-platform', 'https://example.com/hook', 'hook');\n"
"or, for Kafka:\n"
"  SELECT commerce.set_kafka_sink('data-platform', 'kafka1:9092,kafka2:9092', 'orders');\n"
"\n"
"In a file which others cannot read:\n"
"  [secret hook]\n"
"  url = https://example.com/ where it may be sent; for Kafka: brokers = kafka1:9092,...\n"
"  key = whsec_...            signs requests as Standard Webhooks (whsec_ and base64 of 24 to 64 bytes)\n"
"  header = Authorization: Bearer ...\n"
"  kafka.sasl.password = ...  any property of librdkafka\n"
"\n"
"And then:\n"
"  commerce-relay --dbname='dbname=shop user=relay' --config=FILE\n"
"\n"
"Environment variables of libpq are honoured (PGHOST, PGPASSFILE and so on).\n"
"Everybody on the host can read a command line: keep passwords in a password file.\n"
"\n"
"Exit status: 0 done; 1 a failure; 2 wrong usage or configuration;\n"
"3 with --once, when events are left that wait for another attempt or another relay.\n";

enum
{
	OPTION_ONCE = OPTION_HELP + 1,
	OPTION_CHECK,
	OPTION_REDELIVER_PAYMENTS
};

static const struct option long_options[] = {
	{"dbname", required_argument, NULL, 'd'},
	{"config", required_argument, NULL, 'c'},
	{"subscription", required_argument, NULL, 's'},
	{"option", required_argument, NULL, 'o'},
	{"once", no_argument, NULL, OPTION_ONCE},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"redeliver-payments", no_argument, NULL, OPTION_REDELIVER_PAYMENTS},
	COMMON_OPTIONS
};

static const Program program = {"commerce-relay", RELAY_VERSION, help};

/* "name=value", over what the file says */
static void
set_option(Config *config, char *text)
{
	char	   *value = strchr(text, '=');
	const char *why;

	if (value == NULL)
		wrong_usage(&program, text, "NAME=VALUE is wanted");
	*value++ = '\0';
	why = config_set(config, text, value);
	if (why)
		wrong_usage(&program, text, why);
}

void
options_read(int argc, char **argv, Options *options, Config *config)
{
	const char *file = NULL;
	const char *dbname = NULL;
	char	  **settings = xcalloc((size_t) argc + 1, sizeof(char *));
	int			nsettings = 0;
	LogLevel	level = LOG_LEVEL_INFO;
	int			c;

	memset(options, 0, sizeof(Options));
	options->subscriptions = xcalloc((size_t) argc + 1, sizeof(char *));
	while ((c = getopt_long(argc, argv, "d:c:s:o:" COMMON_LETTERS, long_options, NULL)) != -1)
	{
		switch (c)
		{
			case 'd':
				dbname = optarg;
				break;
			case 'c':
				file = optarg;
				break;
			case 's':
				options->subscriptions[options->nsubscriptions++] = optarg;
				break;
			case 'o':
				settings[nsettings++] = optarg;
				break;
			case OPTION_ONCE:
				options->once = true;
				break;
			case OPTION_CHECK:
				options->check = true;
				break;
			case OPTION_REDELIVER_PAYMENTS:
				options->redeliver_payments = true;
				break;
			default:
				option_common(&program, c, argv, &level);
		}
	}
	options_end(&program, argc, argv);

	log_start(level);
	config_init(config);
	if (file && !config_read(file, config))
		exit(2);
	for (int i = 0; i < nsettings; i++)
		set_option(config, settings[i]);
	if (dbname)
		config_set(config, "dbname", dbname);
	free(settings);
}
