/*
 * directory.c
 *	  Which subscriptions are to be delivered; owns the sources, one for each of them, and a connection on
 *	  which it asks the server for the list again and again.
 *
 * A subscription that is new, or resumed, gets a source.  That of one which is gone, paused or changed
 * comes to its end in order, and then the next list decides anew.
 */
#include "directory.h"

#include <stdlib.h>
#include <string.h>

#include "client/database.h"
#include "destination.h"
#include "http_sink.h"
#include "kafka_sink.h"
#include "client/log.h"

#define RECONNECT_DELAY	2000

typedef struct Entry
{
	char	   *name;
	Source	   *source;			/* NULL: it cannot be delivered */
	char	   *refused;		/* and that is why */
	bool		listed;			/* in the last list */
} Entry;

struct Directory
{
	const Config *config;
	char	   *const *only;
	int			nonly;
	Database	database;
	Millis		next_list;
	bool		asking;
	bool		finishing;
	Entry	   *entries;
	int			nentries;
	struct pollfd *descriptors;
};

Directory *
directory_open(const Config *config, char *const *only, int nonly)
{
	Directory  *directory = xcalloc(1, sizeof(Directory));

	directory->config = config;
	directory->only = only;
	directory->nonly = nonly;
	return directory;
}

static bool
wanted(const Directory *directory, const char *name)
{
	for (int i = 0; i < directory->nonly; i++)
	{
		if (strcmp(directory->only[i], name) == 0)
			return true;
	}
	return directory->nonly == 0;
}

static char *
copy_field(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : xstrdup(PQgetvalue(result, row, column));
}

static void
ask_list(Directory *directory)
{
	database_query(&directory->database,
				   "SET search_path = ''; "
				   "SELECT name, sink, url, brokers, topic, secret_name, batch_size, event_types IS NOT NULL, "
				   "paused, parked, next_attempt_at <= pg_catalog.clock_timestamp() "
				   "FROM commerce_private.relay_subscriptions()");
	directory->asking = true;
}

/* The row as a subscription; *problem is why it cannot be delivered, or NULL. */
static Subscription *
read_subscription(const Directory *directory, const PGresult *list, int row, char **problem)
{
	Subscription *subscription = xcalloc(1, sizeof(Subscription));
	const char *secret_name = PQgetisnull(list, row, 5) ? NULL : PQgetvalue(list, row, 5);

	*problem = NULL;
	subscription->name = copy_field(list, row, 0);
	subscription->kind = strcmp(PQgetvalue(list, row, 1), "KAFKA") == 0 ? SINK_KAFKA : SINK_HTTP;
	subscription->url = copy_field(list, row, 2);
	subscription->brokers = copy_field(list, row, 3);
	subscription->topic = copy_field(list, row, 4);
	subscription->batch_size = atoi(PQgetvalue(list, row, 6));
	subscription->filtered = strcmp(PQgetvalue(list, row, 7), "t") == 0;
	if (secret_name)
	{
		const char *refusal = NULL;

		subscription->secret = config_secret(directory->config, secret_name);
		if (subscription->secret == NULL)
			*problem = xformat("the file has no section [secret %s]", secret_name);
		else if ((refusal = destination_refuses_secret(subscription->secret, subscription)) != NULL)
			*problem = xstrdup(refusal);
	}
	return subscription;
}

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool
same_subscription(const Subscription *a, const Subscription *b)
{
	return a->kind == b->kind && same_text(a->url, b->url) && same_text(a->brokers, b->brokers) &&
		same_text(a->topic, b->topic) && a->batch_size == b->batch_size &&
		a->filtered == b->filtered && a->secret == b->secret;
}

static Entry *
find_entry(Directory *directory, const char *name)
{
	Entry	   *entry;

	for (int i = 0; i < directory->nentries; i++)
	{
		if (strcmp(directory->entries[i].name, name) == 0)
			return &directory->entries[i];
	}
	directory->entries = xrealloc(directory->entries, sizeof(Entry) * (size_t) (directory->nentries + 1));
	entry = &directory->entries[directory->nentries++];
	memset(entry, 0, sizeof(Entry));
	entry->name = xstrdup(name);
	return entry;
}

static void
open_source(Directory *directory, Entry *entry, Subscription *subscription, char *problem)
{
	Sink	   *sink = NULL;

	if (problem == NULL)
	{
		if (subscription->kind == SINK_HTTP)
			sink = http_sink_open(subscription, directory->config);
		else
			sink = kafka_sink_open(subscription, directory->config, &problem);
	}
	if (sink)
	{
		entry->source = source_open(subscription, directory->config, sink);
		free(entry->refused);
		entry->refused = NULL;
		return;
	}
	/* said once, not at every list */
	if (!same_text(problem, entry->refused))
		log_error("subscription %s cannot be delivered: %s", entry->name, problem);
	free(entry->refused);
	entry->refused = problem;
	subscription_free(subscription);
}

static void
use_row(Directory *directory, const PGresult *list, int row)
{
	bool		paused = strcmp(PQgetvalue(list, row, 8), "t") == 0;
	bool		any_parked = strcmp(PQgetvalue(list, row, 9), "0") != 0;
	/* parked events without a time of their own wait for those before them, or for nothing */
	bool		due = any_parked && strcmp(PQgetvalue(list, row, 10), "f") != 0;
	Entry	   *entry;
	Subscription *subscription;
	char	   *problem;

	if (!wanted(directory, PQgetvalue(list, row, 0)) || paused)
		return;
	entry = find_entry(directory, PQgetvalue(list, row, 0));
	entry->listed = true;
	subscription = read_subscription(directory, list, row, &problem);
	if (entry->source == NULL)
	{
		open_source(directory, entry, subscription, problem);
		return;
	}
	if (!same_subscription(subscription, source_subscription(entry->source)))
		source_finish(entry->source);
	else if (due)
		source_wake_parked(entry->source);
	subscription_free(subscription);
	free(problem);
}

static void
use_list(Directory *directory)
{
	const PGresult *list = directory->database.results[1];

	for (int i = 0; i < directory->nentries; i++)
		directory->entries[i].listed = false;
	for (int row = 0; row < PQntuples(list); row++)
		use_row(directory, list, row);
	for (int i = 0; i < directory->nentries; i++)
	{
		if (!directory->entries[i].listed && directory->entries[i].source)
			source_finish(directory->entries[i].source);
	}
	database_clear(&directory->database);
}

static void
step_list(Directory *directory, Millis now)
{
	Database   *database = &directory->database;

	database_step(database, now);
	if (database->state == DATABASE_FAILED)
		database_close(database);
	switch (database->state)
	{
		case DATABASE_CLOSED:
			if (directory->asking)
			{
				log_error("the list of subscriptions: %s", database->error);
				directory->asking = false;
				directory->next_list = now + RECONNECT_DELAY;
			}
			if (now >= directory->next_list)
			{
				database_connect(database, directory->config->dbname, "commerce-relay");
				directory->asking = true;
			}
			break;
		case DATABASE_READY:
			if (now >= directory->next_list)
				ask_list(directory);
			break;
		case DATABASE_DONE:
			use_list(directory);
			directory->asking = false;
			directory->next_list = now + directory->config->poll_interval;
			break;
		case DATABASE_CONNECTING:
		case DATABASE_BUSY:
		case DATABASE_FAILED:
			break;
	}
}

bool
directory_load(Directory *directory)
{
	Database   *database = &directory->database;
	int			problems = 0;

	database_connect(database, directory->config->dbname, "commerce-relay");
	database_wait(database);
	if (database->state == DATABASE_READY)
	{
		ask_list(directory);
		database_wait(database);
	}
	if (database->state != DATABASE_DONE)
		log_fatal("%s", database->error);
	use_list(directory);
	directory->asking = false;
	directory->next_list = clock_now() + directory->config->poll_interval;

	for (int i = 0; i < directory->nentries; i++)
		problems += directory->entries[i].refused != NULL;
	return problems == 0;
}

void
directory_step(Directory *directory, Millis now)
{
	if (!directory->finishing)
		step_list(directory, now);
	for (int i = 0; i < directory->nentries; i++)
	{
		Entry	   *entry = &directory->entries[i];

		if (entry->source == NULL)
			continue;
		source_step(entry->source, now);
		if (source_finished(entry->source))
		{
			log_info("subscription %s: ended", entry->name);
			source_close(entry->source);
			entry->source = NULL;
		}
	}
}

Millis
directory_deadline(const Directory *directory, Millis now)
{
	Millis		deadline = directory->asking ? directory->database.deadline : directory->next_list;

	if (directory->finishing)
		deadline = NEVER;
	for (int i = 0; i < directory->nentries; i++)
	{
		if (directory->entries[i].source)
		{
			Millis		other = source_deadline(directory->entries[i].source, now);

			if (other < deadline)
				deadline = other;
		}
	}
	return deadline;
}

struct pollfd *
directory_descriptors(Directory *directory, unsigned *count)
{
	unsigned	n = 0;

	directory->descriptors = xrealloc(directory->descriptors,
									  sizeof(struct pollfd) * (size_t) (directory->nentries + 1));
	if (!directory->finishing && database_descriptor(&directory->database, &directory->descriptors[n]))
		n++;
	for (int i = 0; i < directory->nentries; i++)
	{
		if (directory->entries[i].source &&
			source_descriptor(directory->entries[i].source, &directory->descriptors[n]))
			n++;
	}
	*count = n;
	return directory->descriptors;
}

void
directory_finish(Directory *directory)
{
	directory->finishing = true;
	database_close(&directory->database);
	for (int i = 0; i < directory->nentries; i++)
	{
		if (directory->entries[i].source)
			source_finish(directory->entries[i].source);
	}
}

bool
directory_finished(const Directory *directory)
{
	for (int i = 0; i < directory->nentries; i++)
	{
		if (directory->entries[i].source)
			return false;
	}
	return true;
}

bool
directory_idle(const Directory *directory, bool *all_done)
{
	*all_done = true;
	for (int i = 0; i < directory->nentries; i++)
	{
		bool		done = false;

		if (directory->entries[i].source && !source_idle(directory->entries[i].source, &done))
			return false;
		if (!done)
			*all_done = false;
	}
	return true;
}

void
directory_close(Directory *directory)
{
	for (int i = 0; i < directory->nentries; i++)
	{
		if (directory->entries[i].source)
			source_close(directory->entries[i].source);
		free(directory->entries[i].name);
		free(directory->entries[i].refused);
	}
	database_close(&directory->database);
	free(directory->database.error);
	free(directory->entries);
	free(directory->descriptors);
	free(directory);
}
