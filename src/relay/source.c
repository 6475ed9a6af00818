/*
 * source.c
 *	  A subscription at work: owns a connection to the server, on which it takes the subscription's lock,
 *	  fetches events for delivery.c, and tells the server what became of them.
 *
 * The lock is the session's: with the connection it is lost, and another relay may go on.  Then everything
 * here is forgotten, requests under way are cut off, and after reconnecting all begins again from what the
 * server knows.  A relay that does not get the lock stands by and asks again from time to time (waiting for
 * it on the server would hold back the horizon of all readers).
 *
 * One query at a time is under way; while it is, requests go on.
 */
#include "source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/database.h"
#include "delivery.h"
#include "json.h"
#include "client/log.h"

#define MAX_DUE			500		/* parked events asked for at a time */
#define DUE_SLACK		20
#define ADVANCE_INTERVAL 10000
#define RECONNECT_MIN	1000
#define RECONNECT_MAX	15000

typedef enum SourceState
{
	SOURCE_OFF,					/* without a connection, until next_connect */
	SOURCE_CONNECTING,
	SOURCE_PREPARING,			/* the session's settings are under way */
	SOURCE_LOCKING,				/* asking for the lock */
	SOURCE_STANDBY,				/* another relay has it; until next_lock */
	SOURCE_WORKING,
	SOURCE_FINISHED
} SourceState;

typedef enum Query
{
	QUERY_FETCH,
	QUERY_BLOCKED,
	QUERY_DUE,
	QUERY_REPORT,				/* without a report it has only moved the cursor */
	QUERY_UNLOCK
} Query;

struct Source
{
	Subscription *subscription;
	const Config *config;
	Sink	   *sink;
	Delivery   *delivery;
	Database	database;
	SourceState state;
	Query		query;			/* under way, while working */
	const Report *report;		/* that it tells */
	int			asked;			/* events that it asks for */
	bool		finishing;

	Millis		next_connect;
	Millis		reconnect_delay;
	Millis		next_lock;
	Millis		next_fetch;		/* at the latest */
	Millis		next_due;		/* when parked events may be due */
	Millis		next_advance;
	bool		idle;			/* the last fetch found nothing new */
};

Source *
source_open(Subscription *subscription, const Config *config, Sink *sink)
{
	Source	   *source = xcalloc(1, sizeof(Source));

	source->subscription = subscription;
	source->config = config;
	source->sink = sink;
	source->delivery = delivery_open(subscription, config, sink);
	source->reconnect_delay = RECONNECT_MIN;
	return source;
}

const Subscription *
source_subscription(const Source *source)
{
	return source->subscription;
}

/*
 * Queries
 */

/* Begins a query about the subscription, which is $1; parameter is $2, if there is one. */
static void
ask(Source *source, const char *sql, const char *parameter)
{
	Parameter	parameters[] = {{.value = source->subscription->name}, {.value = parameter}};

	database_query_with(&source->database, sql, parameters, parameter ? 2 : 1);
}

static void
ask_number(Source *source, const char *sql, int number)
{
	char	   *text = xformat("%d", number);

	ask(source, sql, text);
	free(text);
}

static void
prepare_session(Source *source)
{
	/*
	 * What is told to the server is not worth a wait for the disk: when it is lost, events come again,
	 * which can happen anyhow.
	 */
	database_query(&source->database,
				   "SET search_path = ''; SET timezone = 'UTC'; SET datestyle = 'ISO'; "
				   "SET synchronous_commit = off; SET jit = off; SET statement_timeout = '50s'; "
				   "LISTEN commerce_outbox");
	source->state = SOURCE_PREPARING;
}

static void
ask_lock(Source *source)
{
	ask(source, "SELECT commerce_private.start_delivering($1)", NULL);
	source->state = SOURCE_LOCKING;
}

static void
ask_events(Source *source, int wanted)
{
	ask_number(source, "SELECT position, id, type, aggregatetype, aggregateid, payload, created_at "
			   "FROM commerce.fetch_events($1, $2)", wanted);
	source->query = QUERY_FETCH;
	source->asked = wanted;
}

static void
ask_blocked(Source *source)
{
	ask(source, "SELECT NULL, aggregatetype, aggregateid FROM commerce_private.blocked_aggregates($1)", NULL);
	source->query = QUERY_BLOCKED;
}

static void
ask_due(Source *source)
{
	ask_number(source, "SELECT position, id, type, aggregatetype, aggregateid, payload, created_at, attempts "
			   "FROM commerce_private.due_events($1, $2)", MAX_DUE);
	source->query = QUERY_DUE;
}

static void
ask_unlock(Source *source)
{
	ask(source, "SELECT commerce.unlock_subscription($1)", NULL);
	source->query = QUERY_UNLOCK;
}

static void
send_report(Source *source, const char *report)
{
	ask(source, "SELECT dead, aggregatetype, aggregateid FROM commerce_private.report_deliveries($1, $2)", report);
	source->query = QUERY_REPORT;
}

/* Has the server move the cursor past events that the subscription does not want. */
static void
ask_advance(Source *source)
{
	send_report(source, "{\"advance\": true}");
}

static void
append_failed(Source *source, PQExpBuffer json, const EventList *failed, Millis now)
{
	appendPQExpBufferStr(json, "\"failed\":[");
	for (int i = 0; i < failed->count; i++)
	{
		const Event *event = failed->events[i];
		Millis		delay = delivery_retry_delay(source->delivery, event);

		appendPQExpBuffer(json, "%s{\"position\":", i > 0 ? "," : "");
		json_append_string(json, event->position);
		appendPQExpBufferStr(json, ",\"error\":");
		json_append_string(json, event->error);
		appendPQExpBuffer(json, ",\"retry_after\":%lld}", (long long) delay);
		/* the server counts from when it gets this */
		if (now + delay + DUE_SLACK < source->next_due)
			source->next_due = now + delay + DUE_SLACK;
	}
	appendPQExpBufferChar(json, ']');
}

static void
append_positions(PQExpBuffer json, const char *name, const EventList *list)
{
	appendPQExpBuffer(json, ",\"%s\":[", name);
	for (int i = 0; i < list->count; i++)
	{
		if (i > 0)
			appendPQExpBufferChar(json, ',');
		json_append_string(json, list->events[i]->position);
	}
	appendPQExpBufferChar(json, ']');
}

static void
append_text(PQExpBuffer json, const char *name, const char *text)
{
	if (text == NULL)
		return;
	appendPQExpBuffer(json, ",\"%s\":", name);
	json_append_string(json, text);
}

static void
tell(Source *source, const Report *report, Millis now)
{
	PQExpBufferData json;

	initPQExpBuffer(&json);
	appendPQExpBufferChar(&json, '{');
	append_failed(source, &json, &report->failed, now);
	append_positions(&json, "parked", &report->parked);
	append_positions(&json, "finished", &report->finished);
	append_text(&json, "up_to", report->up_to);
	append_text(&json, "pause", report->gone ? "the endpoint answered 410" : NULL);
	append_text(&json, "error", report->error);
	appendPQExpBuffer(&json, ",\"delivered\":%ld,\"failures\":%ld}", report->delivered, report->not_delivered);
	buffer_check(&json);
	send_report(source, json.data);
	termPQExpBuffer(&json);
	source->report = report;
}

/*
 * Their results
 */

static void
add_blocked(Source *source, const PGresult *result)
{
	delivery_begin_blocked(source->delivery);
	for (int row = 0; row < PQntuples(result); row++)
	{
		if (!PQgetisnull(result, row, 1))
			delivery_add_blocked(source->delivery, PQgetvalue(result, row, 1), PQgetvalue(result, row, 2));
	}
}

/* "2026-01-31 12:34:56.789+00" as RFC 3339 has it */
static void
to_rfc3339(const char *text, char *buffer, size_t size)
{
	char	   *plus;

	snprintf(buffer, size, "%s", text);
	if (strlen(buffer) > 10)
		buffer[10] = 'T';
	plus = strrchr(buffer, '+');
	if (plus)
		strcpy(plus, "Z");
}

static void
add_events(Source *source, const PGresult *result, bool parked)
{
	for (int row = 0; row < PQntuples(result); row++)
	{
		char		at[64];

		to_rfc3339(PQgetvalue(result, row, 6), at, sizeof(at));
		delivery_add(source->delivery,
					 event_create(PQgetvalue(result, row, 0), PQgetvalue(result, row, 1), PQgetvalue(result, row, 2),
								  PQgetvalue(result, row, 3), PQgetvalue(result, row, 4), PQgetvalue(result, row, 5),
								  at, parked ? atoi(PQgetvalue(result, row, 7)) : 0),
					 parked);
	}
}

static void
handle_fetch(Source *source, Millis now)
{
	const PGresult *result = source->database.results[0];

	add_events(source, result, false);
	source->idle = PQntuples(result) < source->asked;
	source->next_fetch = source->idle ? now + source->config->poll_interval : now;
}

static void
handle_due(Source *source, Millis now)
{
	const PGresult *due = source->database.results[0];

	add_events(source, due, true);
	/* later ones are told by our own failures, and by relay_subscriptions() */
	source->next_due = PQntuples(due) == MAX_DUE ? now + 1000 : NEVER;
}

static void
log_dead(Source *source, const char *position)
{
	for (int i = 0; i < source->report->failed.count; i++)
	{
		const Event *event = source->report->failed.events[i];

		if (strcmp(event->position, position) == 0)
			log_error("subscription %s: event %s of %s %s is a dead letter after %d attempts: %s",
					  source->subscription->name, event->id, event->aggregatetype, event->aggregateid,
					  event->attempts + 1, event->error);
	}
}

static void
handle_report(Source *source, Millis now)
{
	const PGresult *result = source->database.results[0];
	const Report *report = source->report;

	if (report)
	{
		bool		gone = report->gone;

		for (int row = 0; row < PQntuples(result); row++)
		{
			if (PQgetisnull(result, row, 0))
				continue;
			log_dead(source, PQgetvalue(result, row, 0));
			/* what was parked behind it may go */
			source->next_due = now;
		}
		if (report->finished.count > 0)
			source->next_due = now;
		delivery_saved(source->delivery, now);
		source->report = NULL;
		if (gone)
			source_finish(source);
	}
	add_blocked(source, result);
}

/*
 * The life of a source
 */

static void
lost(Source *source, Millis now)
{
	if (source->state == SOURCE_WORKING && source->query == QUERY_UNLOCK && source->finishing)
		source->state = SOURCE_FINISHED;
	else
	{
		log_error("subscription %s: %s; connecting again in %lld ms", source->subscription->name,
				  source->database.error, (long long) source->reconnect_delay);
		source->state = SOURCE_OFF;
	}
	delivery_reset(source->delivery);
	source->report = NULL;
	source->next_connect = now + source->reconnect_delay;
	source->reconnect_delay *= 2;
	if (source->reconnect_delay > RECONNECT_MAX)
		source->reconnect_delay = RECONNECT_MAX;
}

static void
handle_lock(Source *source, Millis now)
{
	const Database *database = &source->database;
	const PGresult *answer = database->results[database->nresults - 1];

	source->reconnect_delay = RECONNECT_MIN;
	if (strcmp(PQgetvalue(answer, 0, 0), "t") == 0)
	{
		log_info("subscription %s: delivering", source->subscription->name);
		source->state = SOURCE_WORKING;
		source->idle = false;
		source->next_due = now;
		source->next_fetch = now;
		source->next_advance = now + ADVANCE_INTERVAL;
	}
	else
	{
		if (source->next_lock == 0)
			log_info("subscription %s: another relay delivers it, standing by", source->subscription->name);
		source->state = SOURCE_STANDBY;
		source->next_lock = now + source->config->standby_interval;
	}
}

static void
handle_results(Source *source, Millis now)
{
	if (source->state == SOURCE_LOCKING)
		handle_lock(source, now);
	else if (source->state == SOURCE_WORKING)
	{
		switch (source->query)
		{
			case QUERY_FETCH:
				handle_fetch(source, now);
				break;
			case QUERY_BLOCKED:
				add_blocked(source, source->database.results[0]);
				break;
			case QUERY_DUE:
				handle_due(source, now);
				break;
			case QUERY_REPORT:
				handle_report(source, now);
				break;
			case QUERY_UNLOCK:
				source->state = SOURCE_FINISHED;
				break;
		}
	}
	database_clear(&source->database);
	/* which aggregates are blocked is known before their events come */
	if (source->state == SOURCE_WORKING && source->query == QUERY_BLOCKED)
		ask_due(source);
}

/* With the lock and without a query under way: which is next? */
static void
choose_query(Source *source, Millis now)
{
	bool		hungry = !source->finishing && now >= source->next_fetch &&
		delivery_wanted(source->delivery, now) > 0;
	const Report *report = delivery_report(source->delivery, now, hungry || source->finishing);

	if (report)
		tell(source, report, now);
	else if (source->finishing)
	{
		if (!delivery_in_flight(source->delivery))
			ask_unlock(source);
	}
	else if (now >= source->next_due)
		ask_blocked(source);
	else if (hungry)
		ask_events(source, delivery_wanted(source->delivery, now));
	else if (source->subscription->filtered && source->idle && now >= source->next_advance)
	{
		source->next_advance = now + ADVANCE_INTERVAL;
		ask_advance(source);
	}
}

static void
work(Source *source, Millis now)
{
	if (database_notified(&source->database))
		source->next_fetch = now;
	if (!source->finishing)
		delivery_send(source->delivery, now);
	if (source->database.state == DATABASE_READY)
		choose_query(source, now);
}

void
source_step(Source *source, Millis now)
{
	Database   *database = &source->database;

	database_step(database, now);
	if (database->state == DATABASE_FAILED)
		database_close(database);
	if (source->state != SOURCE_OFF && source->state != SOURCE_FINISHED && database->state == DATABASE_CLOSED)
		lost(source, now);
	if (database->state == DATABASE_DONE)
		handle_results(source, now);

	switch (source->state)
	{
		case SOURCE_OFF:
			if (source->finishing)
				source->state = SOURCE_FINISHED;
			else if (now >= source->next_connect)
			{
				char	   *application_name = xformat("commerce-relay %s", source->subscription->name);

				database_connect(database, source->config->dbname, application_name);
				free(application_name);
				source->state = SOURCE_CONNECTING;
			}
			break;
		case SOURCE_CONNECTING:
			if (source->finishing)
				source->state = SOURCE_FINISHED;
			else if (database->state == DATABASE_READY)
				prepare_session(source);
			break;
		case SOURCE_PREPARING:
			if (database->state == DATABASE_READY)
				ask_lock(source);
			break;
		case SOURCE_STANDBY:
			if (source->finishing)
				source->state = SOURCE_FINISHED;
			else if (now >= source->next_lock)
				ask_lock(source);
			break;
		case SOURCE_WORKING:
			work(source, now);
			break;
		case SOURCE_LOCKING:
		case SOURCE_FINISHED:
			break;
	}
}

static void
sooner(Millis *deadline, Millis other)
{
	if (other < *deadline)
		*deadline = other;
}

Millis
source_deadline(const Source *source, Millis now)
{
	const Database *database = &source->database;
	Millis		deadline = NEVER;

	if (database->state == DATABASE_BUSY || database->state == DATABASE_CONNECTING)
		deadline = database->deadline;
	switch (source->state)
	{
		case SOURCE_OFF:
			return source->next_connect;
		case SOURCE_STANDBY:
			return source->next_lock;
		case SOURCE_WORKING:
			/* else there is nothing to do before an answer comes, of the server or of the sink */
			if (database->state == DATABASE_READY && !source->finishing)
			{
				sooner(&deadline, delivery_deadline(source->delivery, now));
				sooner(&deadline, source->next_due);
				if (delivery_wanted(source->delivery, now) > 0)
					sooner(&deadline, source->next_fetch);
			}
			return deadline;
		case SOURCE_CONNECTING:
		case SOURCE_PREPARING:
		case SOURCE_LOCKING:
			return deadline;
		case SOURCE_FINISHED:
			break;
	}
	return NEVER;
}

bool
source_descriptor(const Source *source, struct pollfd *descriptor)
{
	return database_descriptor(&source->database, descriptor);
}

void
source_wake_parked(Source *source)
{
	source->next_due = 0;
}

void
source_finish(Source *source)
{
	source->finishing = true;
}

bool
source_finished(const Source *source)
{
	return source->state == SOURCE_FINISHED;
}

bool
source_idle(const Source *source, bool *all_done)
{
	Millis		now = clock_now();

	*all_done = false;
	if (source->state == SOURCE_STANDBY || source->state == SOURCE_FINISHED)
		return true;
	if (source->state != SOURCE_WORKING || source->database.state != DATABASE_READY ||
		delivery_in_flight(source->delivery) || now >= source->next_due)
		return false;
	if (delivery_waits(source->delivery, now))
		return true;
	*all_done = !delivery_blocked(source->delivery);
	return source->idle && delivery_empty(source->delivery);
}

void
source_close(Source *source)
{
	delivery_close(source->delivery);
	database_close(&source->database);
	source->sink->operations->close(source->sink);
	subscription_free(source->subscription);
	free(source->database.error);
	free(source);
}
