/*
 * delivery.h
 *	  Which event of a subscription is sent when, and what is to be remembered of it.
 */
#ifndef RELAY_DELIVERY_H
#define RELAY_DELIVERY_H

#include "config.h"
#include "event.h"
#include "sink.h"

typedef struct Delivery Delivery;

extern Delivery *delivery_open(const Subscription *subscription, const Config *config, Sink *sink);

/* Cancels what is under way and forgets everything: the server knows what is still to be delivered. */
extern void delivery_reset(Delivery *delivery);

extern void delivery_close(Delivery *delivery);

/*
 * Hands over a fetched event, which delivery frees.  From fetch_events(): one that is not after the last
 * is dropped.  From due_events(), with parked: one that is here already is dropped.
 */
extern void delivery_add(Delivery *delivery, Event *event, bool parked);

/* The aggregates that have parked events: begin, then each. */
extern void delivery_begin_blocked(Delivery *delivery);
extern void delivery_add_blocked(Delivery *delivery, const char *aggregatetype, const char *aggregateid);

/* Sends what can be sent. */
extern void delivery_send(Delivery *delivery, Millis now);

/* A sink's answer to a request. */
extern void delivery_answer(Request *request, const Outcome *outcome);

/* Whether more events are wanted, and how many to ask fetch_events() for. */
extern int	delivery_wanted(const Delivery *delivery, Millis now);

extern bool delivery_in_flight(const Delivery *delivery);

/* No event of it is here. */
extern bool delivery_empty(const Delivery *delivery);

/* Some events wait for another attempt. */
extern bool delivery_blocked(const Delivery *delivery);

/* The endpoint is left alone for a while. */
extern bool delivery_waits(const Delivery *delivery, Millis now);

/* When delivery_send() or delivery_report() may have something to do; NEVER: not before something happens. */
extern Millis delivery_deadline(const Delivery *delivery, Millis now);

typedef struct EventList
{
	Event	  **events;
	int			count;
	int			room;
} EventList;

/*
 * What the server is to be told in one transaction: the events that failed, those that are parked behind
 * them, the parked ones that are done with, and how far the cursor may go.
 */
typedef struct Report
{
	EventList	failed;
	EventList	parked;
	EventList	finished;
	char	   *up_to;			/* NULL: the cursor stays */
	long		delivered;		/* attempts since the last report */
	long		not_delivered;
	char	   *error;			/* of the last of these, or NULL */
	bool		gone;			/* the endpoint wants no more events: the subscription is to be paused */
} Report;

/*
 * The next report, when there is something to tell and it is time to, or else NULL.  at_once: it is time.
 * Until delivery_saved() says that the server has it, there is no other.
 */
extern Report *delivery_report(Delivery *delivery, Millis now, bool at_once);
extern void delivery_saved(Delivery *delivery, Millis now);

/* How long to wait before the event is tried again. */
extern Millis delivery_retry_delay(const Delivery *delivery, const Event *event);

#endif
