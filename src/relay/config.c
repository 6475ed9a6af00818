/*
 * config.c
 *	  The relay's file: the secrets that are no business of the database's, and settings.
 *
 * Sections in brackets, `name = value` lines, comments from # at the beginning of a line.  Everything
 * that is wrong is told at once, with its line, before anything runs.  The file holds secrets, so it must
 * not be open to others, and nothing that it says is printed: what looks like a name may be a secret
 * on a line that is malformed.
 *
 * The hundred lines that read sections and lines are our own.  libinih, the library that Debian has, cuts
 * a value at " ;", takes ":" for "=", joins lines that begin with a blank, cuts lines after 200 bytes,
 * and tells the line of the first mistake alone: a secret would be read as another one without a word.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "destination.h"
#include "client/log.h"

/* Standard Webhooks' schedule as far as ten hours. */
#define DEFAULT_RETRIES	"5s 30s 5min 30min 2h 5h 10h 10h"

typedef struct Parser
{
	const char *path;
	int			line;
	int			errors;
	Config	   *config;
} Parser;

typedef enum Section
{
	SECTION_NONE,
	SECTION_RELAY,
	SECTION_SECRET,
	SECTION_PAYMENTS
} Section;

/* Of librdkafka's names, which are printed when it does not know them. */
#define PROPERTY_CHARACTERS	"abcdefghijklmnopqrstuvwxyz0123456789._"

/* Why a setting was refused. */
#define UNKNOWN_SETTING "there is no such setting in this section"

static void
complain(Parser *parser, int line, const char *why)
{
	log_error("%s:%d: %s", parser->path, line, why);
	parser->errors++;
}

static void
add_property(PropertyList *list, const char *name, const char *value)
{
	list->items = xrealloc(list->items, sizeof(Property) * (size_t) (list->count + 1));
	list->items[list->count].name = xstrdup(name);
	list->items[list->count].value = xstrdup(value);
	list->count++;
}

static const char *
set_string(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
	return NULL;
}

static const char *
set_number(int *field, const char *value, int min, int max)
{
	static char why[80];

	if (number_parse(value, min, max, field))
		return NULL;
	snprintf(why, sizeof(why), "a whole number from %d to %d is wanted", min, max);
	return why;
}

static const char *
set_duration(Millis *field, const char *value)
{
	if (duration_parse(value, field) && *field > 0)
		return NULL;
	return "a time with its unit is wanted, such as 500ms, 5s, 30min, 2h or 1d";
}

static const char *
set_retries(Config *config, const char *value)
{
	char	   *words = xstrdup(value);
	const char *why = NULL;
	char	   *rest;

	config->nretries = 0;
	for (char *word = strtok_r(words, " \t,", &rest); word && !why; word = strtok_r(NULL, " \t,", &rest))
	{
		if (config->nretries == MAX_RETRIES)
			why = "that is too many";
		else
			why = set_duration(&config->retries[config->nretries++], word);
	}
	free(words);
	return why;
}

static const char *
set_networks(Config *config, const char *value)
{
	char	   *words = xstrdup(value);
	const char *why = NULL;
	char	   *rest;

	config->nsink_addresses = 0;
	for (char *word = strtok_r(words, " \t,", &rest); word && !why; word = strtok_r(NULL, " \t,", &rest))
	{
		config->sink_addresses = xrealloc(config->sink_addresses, sizeof(Network) * (size_t) (config->nsink_addresses + 1));
		if (!network_parse(word, &config->sink_addresses[config->nsink_addresses++]))
			why = "addresses or networks are wanted, such as 10.0.0.0/8 or ::1";
	}
	free(words);
	return why;
}

static const char *
add_brokers(Secret *secret, const char *value)
{
	char	   *words = xstrdup(value);
	char	   *rest;

	for (char *word = strtok_r(words, " \t,", &rest); word; word = strtok_r(NULL, " \t,", &rest))
		add_property(&secret->brokers, "brokers", word);
	free(words);
	return NULL;
}

static const char *
add_url(Secret *secret, const char *value)
{
	const char *why = destination_check_url(value);

	if (!why)
		add_property(&secret->urls, "url", value);
	return why;
}

static const char *
add_key(Secret *secret, const char *value)
{
	if (secret->nkeys == MAX_KEYS)
		return "that is one too many";
	return webhook_key_parse(value, &secret->keys[secret->nkeys++]);
}

/* "Name: value", and not one of those that are the relay's to say. */
static const char *
add_header(Secret *secret, const char *value)
{
	static const char *const own[] = {
		"content-type", "content-length", "transfer-encoding", "connection", "host", "expect",
		"webhook-id", "webhook-timestamp", "webhook-signature"
	};
	const char *colon = strchr(value, ':');
	char	   *name;
	const char *why = NULL;

	if (colon == NULL || colon == value)
		return "\"Name: value\" is wanted";
	name = xstrdup(value);
	name[colon - value] = '\0';
	for (const char *c = name; *c; c++)
	{
		if (!isalnum((unsigned char) *c) && *c != '-' && *c != '_')
			why = "a header's name has letters, digits, - and _";
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
	{
		if (strcasecmp(name, own[i]) == 0)
			why = "this header is set by the relay itself";
	}
	if (!why)
		add_property(&secret->headers, name, value);
	free(name);
	return why;
}

static const char *
set_of_secret(Secret *secret, const char *name, const char *value)
{
	if (strcmp(name, "key") == 0)
		return add_key(secret, value);
	if (strcmp(name, "header") == 0)
		return add_header(secret, value);
	if (strcmp(name, "url") == 0)
		return add_url(secret, value);
	if (strcmp(name, "brokers") == 0)
		return add_brokers(secret, value);
	if (strncmp(name, "kafka.", 6) == 0 && name[6] != '\0' && strspn(name, PROPERTY_CHARACTERS) == strlen(name))
	{
		/* librdkafka itself says what is wrong with its properties */
		add_property(&secret->kafka, name + 6, value);
		return NULL;
	}
	return UNKNOWN_SETTING;
}

static const char *
set_of_payments(PaymentConfig *payments, const char *name, const char *value)
{
	if (strcmp(name, "brokers") == 0)
		return set_string(&payments->brokers, value);
	if (strcmp(name, "topic") == 0)
		return set_string(&payments->topic, value);
	if (strcmp(name, "group") == 0)
		return set_string(&payments->group, value);
	if (strcmp(name, "dbname") == 0)
		return set_string(&payments->dbname, value);
	if (strcmp(name, "secret") == 0)
		return set_string(&payments->secret_name, value);
	if (strcmp(name, "give_up_after") == 0)
		return set_duration(&payments->give_up_after, value);
	return UNKNOWN_SETTING;
}

const char *
config_set(Config *config, const char *name, const char *value)
{
	if (strcmp(name, "dbname") == 0)
		return set_string(&config->dbname, value);
	if (strcmp(name, "source") == 0)
		return set_string(&config->source, value);
	if (strcmp(name, "poll_interval") == 0)
		return set_duration(&config->poll_interval, value);
	if (strcmp(name, "standby_interval") == 0)
		return set_duration(&config->standby_interval, value);
	if (strcmp(name, "timeout") == 0)
		return set_duration(&config->timeout, value);
	if (strcmp(name, "connect_timeout") == 0)
		return set_duration(&config->connect_timeout, value);
	if (strcmp(name, "retries") == 0)
		return set_retries(config, value);
	if (strcmp(name, "max_requests") == 0)
		return set_number(&config->max_requests, value, 1, 1000);
	if (strcmp(name, "max_blocked") == 0)
		return set_number(&config->max_blocked, value, 1, 100000);
	if (strcmp(name, "fetch_size") == 0)
		return set_number(&config->fetch_size, value, 1, 5000);
	if (strcmp(name, "sink_addresses") == 0)
		return set_networks(config, value);
	if (strcmp(name, "ca_file") == 0)
		return set_string(&config->ca_file, value);
	return UNKNOWN_SETTING;
}

const Secret *
config_secret(const Config *config, const char *name)
{
	for (int i = 0; i < config->nsecrets; i++)
	{
		if (strcmp(config->secrets[i].name, name) == 0)
			return &config->secrets[i];
	}
	return NULL;
}

static void
add_secret(Parser *parser, const char *name)
{
	Config	   *config = parser->config;
	size_t		n = (size_t) config->nsecrets;

	if (config_secret(config, name))
		complain(parser, parser->line, "this secret has a section already");
	config->secrets = xrealloc(config->secrets, sizeof(Secret) * (n + 1));
	memset(&config->secrets[n], 0, sizeof(Secret));
	config->secrets[n].name = xstrdup(name);
	config->nsecrets++;
}

static Section
begin_section(Parser *parser, char *header)
{
	size_t		length = strlen(header);

	if (header[length - 1] != ']')
	{
		complain(parser, parser->line, "a section's head ends with ]");
		return SECTION_NONE;
	}
	header[length - 1] = '\0';
	header++;
	if (strcmp(header, "relay") == 0)
		return SECTION_RELAY;
	if (strcmp(header, "payments") == 0)
		return SECTION_PAYMENTS;
	if (strncmp(header, "secret ", 7) == 0 && header[7] != '\0')
	{
		add_secret(parser, header + 7);
		return SECTION_SECRET;
	}
	complain(parser, parser->line, "the sections are relay, payments and secret NAME");
	return SECTION_NONE;
}

static const char *
set(Parser *parser, Section section, const char *name, const char *value)
{
	Config	   *config = parser->config;

	switch (section)
	{
		case SECTION_RELAY:
			return config_set(config, name, value);
		case SECTION_SECRET:
			return set_of_secret(&config->secrets[config->nsecrets - 1], name, value);
		case SECTION_PAYMENTS:
			return set_of_payments(&config->payments, name, value);
		case SECTION_NONE:
			break;
	}
	return "this line is in no section";
}

static char *
trim(char *text)
{
	char	   *end = text + strlen(text);

	while (end > text && isspace((unsigned char) end[-1]))
		*--end = '\0';
	while (isspace((unsigned char) *text))
		text++;
	return text;
}

static void
read_lines(Parser *parser, FILE *file)
{
	Section		section = SECTION_NONE;
	bool		skip = false;	/* the rest of a section whose head was wrong */
	char	   *buffer = NULL;
	size_t		size = 0;

	while (getline(&buffer, &size, file) >= 0)
	{
		char	   *line = trim(buffer);
		char	   *value;
		const char *why;

		parser->line++;
		if (*line == '\0' || *line == '#')
			continue;
		if (*line == '[')
		{
			section = begin_section(parser, line);
			skip = section == SECTION_NONE;
			continue;
		}
		if (skip)
			continue;
		value = strchr(line, '=');
		if (value == NULL)
		{
			complain(parser, parser->line, "name = value is wanted");
			continue;
		}
		*value++ = '\0';
		line = trim(line);
		value = trim(value);
		why = *value == '\0' ? "there is no value" : set(parser, section, line, value);
		if (why)
			complain(parser, parser->line, why);
	}
	free(buffer);
}

/* What can be said only when all of the file is known. */
static void
check_whole(Parser *parser)
{
	const PaymentConfig *payments = &parser->config->payments;
	bool		any = payments->brokers || payments->topic || payments->group || payments->dbname || payments->secret_name;

	if (any && !(payments->brokers && payments->topic))
		complain(parser, parser->line, "[payments]: brokers and topic must both be set");
	if (payments->secret_name && !config_secret(parser->config, payments->secret_name))
		complain(parser, parser->line, "[payments]: there is no section for its secret");
}

static void
check_mode(Parser *parser, FILE *file)
{
	struct stat status;

	if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & S_IRWXO) != 0)
		complain(parser, 0, "the file holds secrets and is open to others; chmod o= closes it");
}

void
subscription_free(Subscription *subscription)
{
	free(subscription->name);
	free(subscription->url);
	free(subscription->brokers);
	free(subscription->topic);
	free(subscription);
}

void
config_init(Config *config)
{
	memset(config, 0, sizeof(Config));
	config_set(config, "source", "/commerce");
	config_set(config, "poll_interval", "1s");
	config_set(config, "standby_interval", "1s");
	config_set(config, "timeout", "15s");
	config_set(config, "connect_timeout", "5s");
	config_set(config, "retries", DEFAULT_RETRIES);
	config_set(config, "max_requests", "8");
	config_set(config, "max_blocked", "1000");
	config_set(config, "fetch_size", "1000");
	config_set(config, "sink_addresses", "0.0.0.0/0 ::/0");
	set_of_payments(&config->payments, "give_up_after", "24h");
}

bool
config_read(const char *path, Config *config)
{
	Parser		parser = {.path = path, .config = config};
	FILE	   *file = fopen(path, "r");

	if (file == NULL)
	{
		log_error("%s: %s", path, strerror(errno));
		return false;
	}
	check_mode(&parser, file);
	read_lines(&parser, file);
	if (ferror(file))
		complain(&parser, parser.line, strerror(errno));
	fclose(file);
	if (parser.errors == 0)
		check_whole(&parser);
	return parser.errors == 0;
}
