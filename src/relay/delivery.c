/*
 * delivery.c
 *	  Which event of a subscription is sent when, and what is to be remembered of it.
 *
 * Events come in two ways: new ones from fetch_events(), in order, kept in the queue until the cursor has
 * passed them; and parked ones from due_events(), which the cursor has passed while they could not be
 * delivered.  Every event is also in the list of its aggregate, by position.
 *
 * Order.  Of an aggregate, one request at a time is under way, and it takes the first events that are not
 * delivered.  A new event of an aggregate is not sent while the aggregate is blocked, that is, while the
 * server has parked events of it, or an event of it has failed and the server does not know yet.
 *
 * Failures.  An event that fails is parked on the server until its next attempt, and the new events of its
 * aggregate are parked behind it when the cursor comes to them.  A request of several events that fails
 * is not held against any of them: they go again in smaller requests, until the one that fails is alone.
 *
 * A dead endpoint.  After DOWN_AFTER requests in a row that failed the endpoint is left alone for a time
 * that grows, and then asked with one event; a new one, if there is any, lest a parked one that will never
 * be accepted is all it gets.  So an outage parks few events, however many there are.
 *
 * The server is told by reports.  What a report names stays in memory until the server has it, so that
 * nothing is sent twice that is not lost.
 */
#include "delivery.h"

#include <stdlib.h>
#include <string.h>

#include "aggregate.h"
#include "client/log.h"

#define DOWN_AFTER		10		/* requests that fail in a row */
#define MAX_DOWN_PAUSE	60000
#define REPORT_INTERVAL	100		/* between reports while requests are under way */
#define SHRINK			8		/* a failed request's events go again in requests that much smaller */
#define WINDOW			10		/* the queue is at most that many times fetch_size */
#define KAFKA_REQUESTS	10000	/* under way at a time */

struct Delivery
{
	const Subscription *subscription;
	const Config *config;
	Sink	   *sink;

	Aggregates	aggregates;

	Event	   *queue_first;
	Event	   *queue_last;
	int			queued;			/* events in the queue */
	int			waiting;		/* of these, not yet sent */
	char	   *last_fetched;	/* position */

	Request    *requests;
	int			nrequests;
	int			max_requests;
	int			max_batch;
	int			batch;			/* events in the next request, shrunk after a failure */

	int			failures_in_row;
	int			pauses_in_row;
	Millis		paused_until;
	bool		gone;			/* the endpoint wants no more events */
	bool		gone_told;		/* to the server */

	/* for the next report */
	EventList	failed;
	EventList	finished;		/* parked ones that were delivered */
	long		delivered;
	long		not_delivered;
	char	   *error;

	Report		report;			/* on its way to the server, if reporting */
	bool		reporting;
	Millis		last_report;
};

static void
append_event(EventList *list, Event *event)
{
	if (list->count == list->room)
	{
		list->room = list->room ? list->room * 2 : 64;
		list->events = xrealloc(list->events, sizeof(Event *) * (size_t) list->room);
	}
	list->events[list->count++] = event;
}

static void
clear_events(EventList *list)
{
	free(list->events);
	memset(list, 0, sizeof(EventList));
}

/*
 * Events in
 */

Delivery *
delivery_open(const Subscription *subscription, const Config *config, Sink *sink)
{
	Delivery   *delivery = xcalloc(1, sizeof(Delivery));

	delivery->subscription = subscription;
	delivery->config = config;
	delivery->sink = sink;
	delivery->max_requests = subscription->kind == SINK_KAFKA ? KAFKA_REQUESTS : config->max_requests;
	delivery->max_batch = subscription->kind == SINK_KAFKA ? 1 : subscription->batch_size;
	delivery->batch = delivery->max_batch;
	return delivery;
}

void
delivery_add(Delivery *delivery, Event *event, bool parked)
{
	Aggregate  *aggregate;

	if (!parked && delivery->last_fetched && strcmp(event->position, delivery->last_fetched) <= 0)
	{
		event_free(event);
		return;
	}
	aggregate = aggregate_find(&delivery->aggregates, event->aggregatetype, event->aggregateid);
	if (!aggregate_insert(aggregate, event))
	{
		event_free(event);
		return;
	}
	event->parked = parked;

	if (parked)
		aggregate_block(&delivery->aggregates, aggregate);
	else
	{
		free(delivery->last_fetched);
		delivery->last_fetched = xstrdup(event->position);
		if (delivery->queue_last)
			delivery->queue_last->next = event;
		else
			delivery->queue_first = event;
		delivery->queue_last = event;
		event->queued = true;
		delivery->queued++;
		delivery->waiting++;
	}
	aggregate_make_ready(&delivery->aggregates, aggregate);
}

void
delivery_begin_blocked(Delivery *delivery)
{
	aggregates_unblock(&delivery->aggregates);
}

void
delivery_add_blocked(Delivery *delivery, const char *aggregatetype, const char *aggregateid)
{
	/* it stays in the ready list, if it is there: delivery_send() looks again */
	aggregate_block(&delivery->aggregates, aggregate_find(&delivery->aggregates, aggregatetype, aggregateid));
}

/*
 * Requests out
 */

static int
by_position(const void *a, const void *b)
{
	return strcmp((*(Event *const *) a)->position, (*(Event *const *) b)->position);
}

/* Adds the aggregate's next events to the request, as many as there is room for. */
static void
add_to_request(Delivery *delivery, Request *request, Aggregate *aggregate, int room)
{
	for (Event *event = aggregate_sendable(aggregate);
		 event && request->nevents < room && event->state == EVENT_WAITING;
		 event = event->next_of_aggregate)
	{
		/* what has failed before goes alone, and what may not go before it has not begun */
		if (event->attempts > 0 && request->nevents > 0)
			break;
		if (aggregate->blocked && !event->parked)
			break;
		event->state = EVENT_SENT;
		if (!event->parked)
			delivery->waiting--;
		request->events[request->nevents++] = event;
		aggregate->busy = true;
		if (event->attempts > 0)
			break;
	}
}

static Request *
make_request(Delivery *delivery, int room, bool rather_new)
{
	Request    *request = xcalloc(1, sizeof(Request) + sizeof(Event *) * (size_t) room);
	Aggregate  *aggregate;

	request->delivery = delivery;
	while (request->nevents < room && (aggregate = aggregate_take_ready(&delivery->aggregates, rather_new)) != NULL)
	{
		const Event *event = aggregate_sendable(aggregate);
		int			before = request->nevents;

		if (event == NULL)
		{
			aggregate_drop(&delivery->aggregates, aggregate);
			continue;
		}
		add_to_request(delivery, request, aggregate, room);
		if (request->nevents == before)
		{
			/* it goes alone, next time */
			aggregate_make_ready(&delivery->aggregates, aggregate);
			break;
		}
		if (request->events[before]->attempts > 0)
			break;
	}
	if (request->nevents == 0)
	{
		free(request);
		return NULL;
	}
	qsort(request->events, (size_t) request->nevents, sizeof(Event *), by_position);
	return request;
}

void
delivery_send(Delivery *delivery, Millis now)
{
	bool		down = delivery->failures_in_row >= DOWN_AFTER;
	int			max_requests = down ? 1 : delivery->max_requests;

	if (delivery->gone || now < delivery->paused_until)
		return;
	while (delivery->nrequests < max_requests)
	{
		Request    *request = make_request(delivery, down ? 1 : delivery->batch, down);

		if (request == NULL)
			return;
		request->next = delivery->requests;
		if (request->next)
			request->next->previous = request;
		delivery->requests = request;
		delivery->nrequests++;
		delivery->sink->operations->send(delivery->sink, request);
	}
}

static void
forget_request(Request *request)
{
	Delivery   *delivery = request->delivery;

	if (request->previous)
		request->previous->next = request->next;
	else
		delivery->requests = request->next;
	if (request->next)
		request->next->previous = request->previous;
	delivery->nrequests--;
	free(request);
}

/*
 * Answers
 */

/* A random part is added, so that what failed together does not come back together. */
static Millis
with_jitter(Millis delay)
{
	return delay + (Millis) ((double) delay * 0.2 * random_fraction());
}

static Millis
retry_of(const Config *config, int n)
{
	if (config->nretries == 0)
		return 0;
	return config->retries[n < config->nretries ? n : config->nretries - 1];
}

Millis
delivery_retry_delay(const Delivery *delivery, const Event *event)
{
	Millis		delay = with_jitter(retry_of(delivery->config, event->attempts));

	return delay > event->retry_after ? delay : event->retry_after;
}

static void
pause_endpoint(Delivery *delivery, Millis delay)
{
	Millis		until = clock_now() + delay;

	if (until > delivery->paused_until)
		delivery->paused_until = until;
}

static void
note_failure(Delivery *delivery, const Outcome *outcome)
{
	const char *name = delivery->subscription->name;

	if (outcome->answer == ANSWER_GONE)
	{
		if (!delivery->gone)
			log_error("subscription %s: the endpoint wants no more events (%s)", name, outcome->error);
		delivery->gone = true;
		return;
	}
	delivery->failures_in_row++;
	if (outcome->answer == ANSWER_BUSY)
	{
		log_warning("subscription %s: the endpoint asks to wait %lld ms (%s)", name,
					(long long) outcome->retry_after, outcome->error);
		pause_endpoint(delivery, outcome->retry_after);
	}
	if (delivery->failures_in_row >= DOWN_AFTER && clock_now() >= delivery->paused_until)
	{
		Millis		delay = retry_of(delivery->config, delivery->pauses_in_row++);

		if (delay > MAX_DOWN_PAUSE)
			delay = MAX_DOWN_PAUSE;
		log_warning("subscription %s: the endpoint fails again and again, next attempt in %lld ms (%s)",
					name, (long long) delay, outcome->error);
		pause_endpoint(delivery, with_jitter(delay));
	}
}

static void
note_success(Delivery *delivery)
{
	if (delivery->failures_in_row >= DOWN_AFTER)
		log_info("subscription %s: the endpoint accepts events again", delivery->subscription->name);
	delivery->failures_in_row = 0;
	delivery->pauses_in_row = 0;
	if (delivery->batch < delivery->max_batch)
		delivery->batch = delivery->batch * 2 < delivery->max_batch ? delivery->batch * 2 : delivery->max_batch;
}

static void
fail_event(Delivery *delivery, Event *event, const Outcome *outcome)
{
	event->state = EVENT_FAILED;
	event->retry_after = outcome->retry_after;
	free(event->error);
	event->error = xstrdup(outcome->error);
	append_event(&delivery->failed, event);
	log_warning("subscription %s: event %s of %s %s failed, attempt %d: %s",
				delivery->subscription->name, event->id, event->aggregatetype, event->aggregateid,
				event->attempts + 1, outcome->error);
}

static void
deliver_event(Delivery *delivery, Event *event)
{
	event->state = EVENT_DELIVERED;
	if (event->parked)
		append_event(&delivery->finished, event);
	else
		aggregate_remove(event);
}

void
delivery_answer(Request *request, const Outcome *outcome)
{
	Delivery   *delivery = request->delivery;
	bool		accepted = outcome->answer == ANSWER_ACCEPTED;
	bool		again = outcome->answer == ANSWER_GONE || (!accepted && request->nevents > 1);

	for (int i = 0; i < request->nevents; i++)
	{
		Event	   *event = request->events[i];
		Aggregate  *aggregate = event->aggregate;

		aggregate->busy = false;
		if (accepted)
			deliver_event(delivery, event);
		else if (again)
		{
			event->state = EVENT_WAITING;
			if (!event->parked)
				delivery->waiting++;
		}
		else
			fail_event(delivery, event, outcome);
		/* with its other events of this request still marked as sent, it does not become ready */
		aggregate_make_ready(&delivery->aggregates, aggregate);
		aggregate_drop(&delivery->aggregates, aggregate);
	}

	if (accepted)
	{
		delivery->delivered += request->nevents;
		note_success(delivery);
	}
	else
	{
		delivery->not_delivered += request->nevents;
		free(delivery->error);
		delivery->error = xstrdup(outcome->error);
		if (outcome->answer == ANSWER_FAILED && request->nevents > 1)
		{
			delivery->batch = request->nevents / SHRINK > 1 ? request->nevents / SHRINK : 1;
			log_warning("subscription %s: %d events in one request failed, going on with %d: %s",
						delivery->subscription->name, request->nevents, delivery->batch, outcome->error);
		}
		note_failure(delivery, outcome);
	}
	forget_request(request);
}

/*
 * Reports
 */

/* Whether the cursor may pass the event once the failed ones of the next report are parked. */
static bool
passable(const Event *event)
{
	if (event->state == EVENT_WAITING)
		return event->aggregate->blocked || event->aggregate->first->state == EVENT_FAILED;
	return event->state != EVENT_SENT;
}

/* Takes from the head of the queue what the cursor may pass. */
static void
take_passable(Delivery *delivery, Report *report)
{
	Event	   *event;

	while ((event = delivery->queue_first) != NULL && passable(event))
	{
		delivery->queue_first = event->next;
		if (delivery->queue_first == NULL)
			delivery->queue_last = NULL;
		delivery->queued--;
		event->queued = false;
		if (delivery->queue_first == NULL || !passable(delivery->queue_first))
			report->up_to = xstrdup(event->position);

		if (event->state == EVENT_WAITING)
		{
			append_event(&report->parked, event);
			delivery->waiting--;
		}
		else if (event->state != EVENT_FAILED)
			event_free(event);
	}
}

Report *
delivery_report(Delivery *delivery, Millis now, bool at_once)
{
	Report	   *report = &delivery->report;
	bool		any = delivery->failed.count > 0 || delivery->finished.count > 0 ||
		delivery->not_delivered > 0 || (delivery->gone && !delivery->gone_told) || (at_once && delivery->delivered > 0) ||
		(delivery->queue_first && passable(delivery->queue_first));

	if (delivery->reporting || !any)
		return NULL;
	if (!at_once && delivery->failed.count == 0 && delivery->nrequests > 0 && now < delivery->last_report + REPORT_INTERVAL)
		return NULL;

	memset(report, 0, sizeof(Report));
	report->failed = delivery->failed;
	report->finished = delivery->finished;
	report->delivered = delivery->delivered;
	report->not_delivered = delivery->not_delivered;
	report->error = delivery->error;
	report->gone = delivery->gone && !delivery->gone_told;
	take_passable(delivery, report);

	memset(&delivery->failed, 0, sizeof(EventList));
	memset(&delivery->finished, 0, sizeof(EventList));
	delivery->delivered = 0;
	delivery->not_delivered = 0;
	delivery->error = NULL;
	delivery->gone_told = delivery->gone;
	delivery->reporting = true;
	return report;
}

static void
free_report(Report *report)
{
	clear_events(&report->failed);
	clear_events(&report->parked);
	clear_events(&report->finished);
	free(report->up_to);
	free(report->error);
}

/* The server knows of these events, so they can be forgotten; except that the cursor may have to pass them. */
static void
forget_events(Delivery *delivery, const EventList *list)
{
	for (int i = 0; i < list->count; i++)
	{
		Event	   *event = list->events[i];
		Aggregate  *aggregate = event->aggregate;

		aggregate_remove(event);
		aggregate_make_ready(&delivery->aggregates, aggregate);
		aggregate_drop(&delivery->aggregates, aggregate);
		if (event->queued)
			event->state = EVENT_PARKED;
		else
			event_free(event);
	}
}

/*
 * Of aggregates with an event that failed, the parked events behind it are forgotten: due_events() returns
 * them with the failed one when that is due.
 */
static void
forget_followers(const EventList *failed)
{
	for (int i = 0; i < failed->count; i++)
	{
		Event	   *next;

		for (Event *event = failed->events[i]->aggregate->first; event; event = next)
		{
			next = event->next_of_aggregate;
			if (event->parked && event->state == EVENT_WAITING)
			{
				aggregate_remove(event);
				event_free(event);
			}
		}
	}
}

void
delivery_saved(Delivery *delivery, Millis now)
{
	forget_followers(&delivery->report.failed);
	forget_events(delivery, &delivery->report.failed);
	forget_events(delivery, &delivery->report.parked);
	forget_events(delivery, &delivery->report.finished);
	free_report(&delivery->report);
	delivery->reporting = false;
	delivery->last_report = now;
}

/*
 * The whole
 */

int
delivery_wanted(const Delivery *delivery, Millis now)
{
	int			fetch_size = delivery->config->fetch_size;

	if (delivery->reporting || now < delivery->paused_until ||
		delivery->aggregates.nblocked >= delivery->config->max_blocked ||
		delivery->waiting >= (fetch_size + 1) / 2 || delivery->queued >= WINDOW * fetch_size)
		return 0;
	/* fetch_events() begins at the cursor, so that it returns what is in the queue again */
	return delivery->queued + fetch_size;
}

bool
delivery_in_flight(const Delivery *delivery)
{
	return delivery->nrequests > 0;
}

bool
delivery_empty(const Delivery *delivery)
{
	return delivery->queue_first == NULL && delivery->aggregates.ready_first == NULL && delivery->nrequests == 0 &&
		!delivery->reporting;
}

bool
delivery_blocked(const Delivery *delivery)
{
	return delivery->aggregates.nblocked > 0;
}

bool
delivery_waits(const Delivery *delivery, Millis now)
{
	return now < delivery->paused_until;
}

Millis
delivery_deadline(const Delivery *delivery, Millis now)
{
	Millis		deadline = NEVER;

	if (delivery->paused_until > now)
		deadline = delivery->paused_until;
	if (delivery->queue_first && passable(delivery->queue_first) &&
		delivery->last_report + REPORT_INTERVAL < deadline)
		deadline = delivery->last_report + REPORT_INTERVAL;
	return deadline;
}

static void
free_queue(Delivery *delivery)
{
	Event	   *next;

	for (Event *event = delivery->queue_first; event; event = next)
	{
		next = event->next;
		event->queued = false;
		if (event->aggregate == NULL)
			event_free(event);
	}
}

void
delivery_reset(Delivery *delivery)
{
	while (delivery->requests)
	{
		delivery->sink->operations->cancel(delivery->sink, delivery->requests);
		forget_request(delivery->requests);
	}
	if (delivery->reporting)
		free_report(&delivery->report);
	delivery->reporting = false;
	clear_events(&delivery->failed);
	clear_events(&delivery->finished);
	free(delivery->error);
	delivery->error = NULL;
	delivery->delivered = 0;
	delivery->not_delivered = 0;
	delivery->gone = false;
	delivery->gone_told = false;

	free_queue(delivery);
	aggregates_forget(&delivery->aggregates);
	delivery->queue_first = NULL;
	delivery->queue_last = NULL;
	delivery->queued = 0;
	delivery->waiting = 0;
	free(delivery->last_fetched);
	delivery->last_fetched = NULL;
}

void
delivery_close(Delivery *delivery)
{
	delivery_reset(delivery);
	free(delivery);
}
