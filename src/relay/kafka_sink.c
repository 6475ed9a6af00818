/*
 * kafka_sink.c
 *	  Events to Kafka topics; owns a producer for each subscription.
 *
 * A message is a CloudEvent in binary form: the attributes are headers, the payload is the value, and the
 * aggregate's id is the key, so that an aggregate's events are in one partition.  The producer is
 * idempotent: what librdkafka repeats comes neither twice nor out of order.  It waits for brokers that are
 * down as long as it takes, since failing would only park everything that waits.
 *
 * Requests that are cancelled are taken away from the producer at once, and it is replaced, so that nothing
 * of it comes after what another relay sends.  A producer that has met a fatal error is replaced as well.
 */
#include "kafka_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delivery.h"
#include "kafka.h"
#include "client/log.h"

typedef struct KafkaSink
{
	Sink		sink;
	const Subscription *subscription;
	const Config *config;
	rd_kafka_t *producer;
	bool		stale;			/* to be replaced */
	struct Message *refused;	/* by the producer, at once */
	struct KafkaSink *next;
} KafkaSink;

/* A request under way; librdkafka keeps a pointer to it. */
typedef struct Message
{
	KafkaSink  *sink;
	Request    *request;		/* NULL: it was cancelled */
	rd_kafka_resp_err_t error;
	struct Message *next;		/* among the refused */
} Message;

static KafkaSink *sinks = NULL;

static void
answer(Message *message, rd_kafka_resp_err_t error)
{
	Request    *request = message->request;
	Outcome		outcome = {0};

	free(message);
	if (request == NULL)
		return;
	request->sink_state = NULL;
	outcome.answer = error == RD_KAFKA_RESP_ERR_NO_ERROR ? ANSWER_ACCEPTED : ANSWER_FAILED;
	if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
		snprintf(outcome.error, sizeof(outcome.error), "%s", rd_kafka_err2str(error));
	delivery_answer(request, &outcome);
}

static void
on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *report, void *opaque)
{
	answer(report->_private, report->err);
}

static void
on_error(rd_kafka_t *producer, int error, const char *reason, void *opaque)
{
	KafkaSink  *sink = opaque;

	if (error == RD_KAFKA_RESP_ERR__FATAL)
	{
		log_error("subscription %s: the producer has failed and is replaced: %s", sink->subscription->name, reason);
		sink->stale = true;
	}
	else
		log_warning("subscription %s: %s", sink->subscription->name, reason);
}

static bool
open_producer(KafkaSink *sink, char **problem)
{
	rd_kafka_conf_t *conf = kafka_conf(sink->subscription->brokers, sink->subscription->secret, problem);
	char		error[300];

	if (conf == NULL)
		return false;
	kafka_conf_set(conf, "enable.idempotence", "true");
	kafka_conf_set(conf, "message.timeout.ms", "0");
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_opaque(conf, sink);
	kafka_conf_limit(conf, sink->config);
	sink->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
	if (sink->producer == NULL)
	{
		*problem = xstrdup(error);
		rd_kafka_conf_destroy(conf);
		return false;
	}
	kafka_wake_for(rd_kafka_queue_get_main(sink->producer));
	sink->stale = false;
	return true;
}

/* Ends the producer; what it still has is answered as failed, unless it was cancelled. */
static void
close_producer(KafkaSink *sink)
{
	if (sink->producer == NULL)
		return;
	rd_kafka_purge(sink->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	while (rd_kafka_outq_len(sink->producer) > 0 && rd_kafka_poll(sink->producer, 100) > 0)
		;
	rd_kafka_destroy(sink->producer);
	sink->producer = NULL;
}

static void
kafka_send(Sink *base, Request *request)
{
	KafkaSink  *sink = (KafkaSink *) base;
	const Event *event = request->events[0];
	Message    *message = xcalloc(1, sizeof(Message));
	char	   *subject = xformat("%s/%s", event->aggregatetype, event->aggregateid);

	message->sink = sink;
	message->request = request;
	request->sink_state = message;
	message->error = sink->stale || sink->producer == NULL ? RD_KAFKA_RESP_ERR__DESTROY :
		rd_kafka_producev(sink->producer,
						  RD_KAFKA_V_TOPIC(sink->subscription->topic),
						  RD_KAFKA_V_KEY(event->aggregateid, strlen(event->aggregateid)),
						  RD_KAFKA_V_VALUE((void *) event->payload, event->payload_length),
						  RD_KAFKA_V_HEADER("content-type", "application/json", -1),
						  RD_KAFKA_V_HEADER("ce_specversion", "1.0", -1),
						  RD_KAFKA_V_HEADER("ce_id", event->id, -1),
						  RD_KAFKA_V_HEADER("ce_source", sink->config->source, -1),
						  RD_KAFKA_V_HEADER("ce_type", event->type, -1),
						  RD_KAFKA_V_HEADER("ce_subject", subject, -1),
						  RD_KAFKA_V_HEADER("ce_time", event->time, -1),
						  RD_KAFKA_V_HEADER("ce_partitionkey", event->aggregateid, -1),
						  RD_KAFKA_V_HEADER("ce_sequence", event->position, -1),
						  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
						  RD_KAFKA_V_OPAQUE(message),
						  RD_KAFKA_V_END);
	if (message->error != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		message->next = sink->refused;
		sink->refused = message;
	}
	free(subject);
}

static void
kafka_cancel(Sink *base, Request *request)
{
	KafkaSink  *sink = (KafkaSink *) base;
	Message    *message = request->sink_state;

	message->request = NULL;
	if (!sink->stale)
		rd_kafka_purge(sink->producer,
					   RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	sink->stale = true;
}

static void
answer_refused(KafkaSink *sink)
{
	while (sink->refused)
	{
		Message    *message = sink->refused;

		sink->refused = message->next;
		answer(message, message->error);
	}
}

static void
kafka_close(Sink *base)
{
	KafkaSink  *sink = (KafkaSink *) base;
	KafkaSink **link = &sinks;

	while (*link != sink)
		link = &(*link)->next;
	*link = sink->next;
	answer_refused(sink);
	close_producer(sink);
	free(sink);
}

void
kafka_sinks_step(void)
{
	for (KafkaSink *sink = sinks; sink; sink = sink->next)
	{
		answer_refused(sink);
		if (sink->stale)
		{
			char	   *problem = NULL;

			close_producer(sink);
			if (!open_producer(sink, &problem))
				log_fatal("could not replace a producer: %s", problem);
		}
		rd_kafka_poll(sink->producer, 0);
	}
}

static const SinkOperations kafka_operations = {kafka_send, kafka_cancel, kafka_close};

Sink *
kafka_sink_open(const Subscription *subscription, const Config *config, char **problem)
{
	KafkaSink  *sink = xcalloc(1, sizeof(KafkaSink));

	sink->sink.operations = &kafka_operations;
	sink->subscription = subscription;
	sink->config = config;
	if (!open_producer(sink, problem))
	{
		free(sink);
		return NULL;
	}
	sink->next = sinks;
	sinks = sink;
	return &sink->sink;
}
