/*
 * sink.h
 *	  Where events go: what delivery.c asks of the HTTP and the Kafka sink.
 */
#ifndef RELAY_SINK_H
#define RELAY_SINK_H

#include "event.h"
#include "client/util.h"

typedef enum Answer
{
	ANSWER_ACCEPTED,			/* the events have arrived */
	ANSWER_FAILED,
	ANSWER_BUSY,				/* failed, and the sink wants to be left alone for retry_after */
	ANSWER_GONE					/* the sink wants no more events, ever */
} Answer;

typedef struct Outcome
{
	Answer		answer;
	Millis		retry_after;	/* 0: not said */
	char		error[300];		/* unless accepted */
} Outcome;

/* Events on their way together. */
typedef struct Request
{
	struct Delivery *delivery;
	struct Request *next;		/* of the delivery */
	struct Request *previous;
	void	   *sink_state;		/* the sink's own */
	int			nevents;
	Event	   *events[];
} Request;

typedef struct Sink Sink;

typedef struct SinkOperations
{
	/*
	 * Sends the request's events.  delivery_answer() is called for it exactly once, later and never from
	 * within send; unless it is cancelled.
	 */
	void		(*send) (Sink *sink, Request *request);
	void		(*cancel) (Sink *sink, Request *request);
	void		(*close) (Sink *sink);
} SinkOperations;

struct Sink
{
	const SinkOperations *operations;
};

#endif
