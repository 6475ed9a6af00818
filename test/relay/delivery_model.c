/*
 * delivery_model.c
 *	  delivery.c against a model of the server and of an endpoint that answer at random.  Prints TAP.
 *
 * The model knows of each event whether it is parked and whether it has been accepted, and where the cursor
 * is.  After every step it is checked that the cursor has passed nothing that is neither accepted nor parked,
 * and at every acceptance that the earlier events of the aggregate were accepted before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "delivery.h"
#include "client/log.h"

#define EVENTS		300
#define AGGREGATES	20
#define MAX_UNDER_WAY 64

static struct
{
	int			aggregate;
	bool		parked;
	bool		accepted;
	int			attempts;
}			model[EVENTS];
static int	cursor;				/* events before it are passed */
static Request *under_way[MAX_UNDER_WAY];
static int	nunder_way;
static int	out_of_order;
static int	together;
static int	passed_unsettled;

static int
number_of(const Event *event)
{
	return atoi(event->position);
}

static Event *
make_event(int i)
{
	char		position[20];
	char		aggregate[20];

	snprintf(position, sizeof(position), "%08d", i);
	snprintf(aggregate, sizeof(aggregate), "%d", model[i].aggregate);
	return event_create(position, position, "Type", "Thing", aggregate, "{}", "", model[i].attempts);
}

/* The endpoint */

static void
model_send(Sink *sink, Request *request)
{
	for (int i = 0; i < nunder_way; i++)
	{
		for (int e = 0; e < under_way[i]->nevents; e++)
		{
			for (int f = 0; f < request->nevents; f++)
				together += strcmp(under_way[i]->events[e]->aggregateid, request->events[f]->aggregateid) == 0;
		}
	}
	under_way[nunder_way++] = request;
}

static void
take_away(int i)
{
	under_way[i] = under_way[--nunder_way];
}

static void
model_cancel(Sink *sink, Request *request)
{
	for (int i = 0; i < nunder_way; i++)
	{
		if (under_way[i] == request)
			take_away(i);
	}
}

static void
accept_event(int i)
{
	for (int j = 0; j < i; j++)
		out_of_order += model[j].aggregate == model[i].aggregate && !model[j].accepted;
	model[i].accepted = true;
}

static void
answer_one(bool unreliable)
{
	int			i = rand() % nunder_way;
	Request    *request = under_way[i];
	Outcome		outcome = {0};
	int			luck = unreliable ? rand() % 100 : 0;

	take_away(i);
	outcome.answer = luck < 70 ? ANSWER_ACCEPTED : luck < 97 ? ANSWER_FAILED : ANSWER_BUSY;
	outcome.retry_after = outcome.answer == ANSWER_BUSY;
	/* a failed request may have arrived all the same */
	for (int e = 0; outcome.answer == ANSWER_ACCEPTED && e < request->nevents; e++)
		accept_event(number_of(request->events[e]));
	delivery_answer(request, &outcome);
}

/* The server */

static void
tell_blocked(Delivery *delivery)
{
	delivery_begin_blocked(delivery);
	for (int i = 0; i < EVENTS; i++)
	{
		char		aggregate[20];

		snprintf(aggregate, sizeof(aggregate), "%d", model[i].aggregate);
		if (model[i].parked)
			delivery_add_blocked(delivery, "Thing", aggregate);
	}
}

static void
fetch(Delivery *delivery)
{
	int			wanted = delivery_wanted(delivery, clock_now());

	for (int i = cursor; i < EVENTS && i < cursor + wanted; i++)
		delivery_add(delivery, make_event(i), false);
}

static void
fetch_due(Delivery *delivery)
{
	tell_blocked(delivery);
	for (int i = 0; i < EVENTS; i++)
	{
		if (model[i].parked)
			delivery_add(delivery, make_event(i), true);
	}
}

static void
save(Delivery *delivery, bool at_once)
{
	const Report *report = delivery_report(delivery, clock_now(), at_once);

	if (report == NULL)
		return;
	for (int i = 0; i < report->failed.count; i++)
	{
		model[number_of(report->failed.events[i])].parked = true;
		model[number_of(report->failed.events[i])].attempts++;
	}
	for (int i = 0; i < report->parked.count; i++)
		model[number_of(report->parked.events[i])].parked = true;
	for (int i = 0; i < report->finished.count; i++)
		model[number_of(report->finished.events[i])].parked = false;
	if (report->up_to)
		cursor = atoi(report->up_to) + 1;
	for (int i = 0; i < cursor; i++)
		passed_unsettled += !model[i].accepted && !model[i].parked;
	delivery_saved(delivery, clock_now());
	tell_blocked(delivery);
}

static bool
all_done(void)
{
	for (int i = 0; i < EVENTS; i++)
	{
		if (model[i].parked || !model[i].accepted)
			return false;
	}
	return cursor == EVENTS;
}

/* Returns whether all events were delivered in the end. */
static bool
play(unsigned seed)
{
	static const SinkOperations operations = {model_send, model_cancel, NULL};
	Sink		sink = {&operations};
	Subscription subscription = {.name = "model", .kind = SINK_HTTP};
	Config		config;
	Delivery   *delivery;
	int			steps = 0;

	srand(seed);
	config_init(&config);
	config_set(&config, "retries", "1ms");
	config_set(&config, "fetch_size", seed % 2 ? "20" : "100");
	subscription.batch_size = seed % 3 ? 1 : 8;
	memset(model, 0, sizeof(model));
	for (int i = 0; i < EVENTS; i++)
		model[i].aggregate = rand() % AGGREGATES;
	cursor = 0;
	delivery = delivery_open(&subscription, &config, &sink);
	tell_blocked(delivery);
	while (!all_done() && steps++ < 100000)
	{
		/* in the end the endpoint gets better */
		bool		unreliable = steps < 3000;

		switch (rand() % 6)
		{
			case 0:
				fetch(delivery);
				break;
			case 1:
				fetch_due(delivery);
				break;
			case 2:
				save(delivery, rand() % 2);
				break;
			case 3:
				delivery_send(delivery, clock_now());
				break;
			default:
				if (nunder_way > 0)
					answer_one(unreliable);
		}
		if (unreliable && rand() % 500 == 0)
		{
			/* a lost connection */
			delivery_reset(delivery);
			tell_blocked(delivery);
		}
	}
	delivery_close(delivery);
	free(config.source);
	free(config.sink_addresses);
	return all_done();
}

int
main(void)
{
	int			unfinished = 0;

	log_start(LOG_LEVEL_ERROR);
	for (unsigned seed = 1; seed <= 60; seed++)
		unfinished += !play(seed);
	printf("%sok 1 - every event is delivered in the end\n", unfinished ? "not " : "");
	printf("%sok 2 - in the order of its aggregate\n", out_of_order ? "not " : "");
	printf("%sok 3 - an aggregate has one request under way\n", together ? "not " : "");
	printf("%sok 4 - the cursor passes only what is delivered or parked\n", passed_unsettled ? "not " : "");
	printf("1..4\n");
	return unfinished || out_of_order || together || passed_unsettled;
}
