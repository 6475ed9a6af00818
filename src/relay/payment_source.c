/*
 * payment_source.c
 *	  Payment results from a Kafka topic to confirm_payment(); owns a consumer, a producer for what is
 *	  refused, and a connection to the server.
 *
 * A message is {"order_id": 1, "succeeded": true, "provider_event_id": "..."}, or a CloudEvent with that as
 * its data.  One message at a time is dealt with, and its offset is stored only when confirm_payment() has
 * committed, or when the message was refused for what it says and the dead-letter topic has it.  A message
 * that comes again has no further effect: confirm_payment() knows its provider_event_id.  Anything else that
 * goes wrong (no connection, a busy server, a missing privilege) is tried again until it goes well.
 */
#include "payment_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "kafka.h"
#include "log.h"

#define RETRY_DELAY		1000
#define DEFAULT_GROUP	"commerce-relay"

typedef enum PaymentState
{
	PAYMENT_IDLE,				/* no message at hand */
	PAYMENT_WAITING,			/* to be told to the server, not before next_try */
	PAYMENT_ASKING,
	PAYMENT_REFUSED,			/* to be produced to the dead-letter topic, not before next_try */
	PAYMENT_BURYING				/* its delivery report is awaited */
} PaymentState;

struct PaymentSource
{
	const Config *config;
	rd_kafka_t *consumer;
	rd_kafka_t *producer;
	Database	database;
	PaymentState state;
	rd_kafka_message_t *message;
	char	   *text;			/* the message's value */
	char	   *refusal;		/* why it was refused */
	bool		subscribed;		/* to the topic */
	bool		buried;			/* the delivery report has come, with burial_error */
	rd_kafka_resp_err_t burial_error;
	Millis		next_try;
	Millis		next_connect;
	bool		finishing;
};

static void
on_burial(rd_kafka_t *producer, const rd_kafka_message_t *report, void *opaque)
{
	PaymentSource *source = opaque;

	source->buried = true;
	source->burial_error = report->err;
}

static rd_kafka_t *
open_kafka(PaymentSource *source, rd_kafka_type_t type, char **problem)
{
	const PaymentConfig *payments = &source->config->payments;
	const Secret *secret = payments->secret_name ? config_secret(source->config, payments->secret_name) : NULL;
	rd_kafka_conf_t *conf = kafka_conf(payments->brokers, secret, problem);
	rd_kafka_t *kafka;
	char		error[300];

	if (conf == NULL)
		return NULL;
	rd_kafka_conf_set_opaque(conf, source);
	if (type == RD_KAFKA_CONSUMER)
	{
		kafka_conf_set(conf, "group.id", payments->group ? payments->group : DEFAULT_GROUP);
		kafka_conf_set(conf, "enable.auto.offset.store", "false");
		kafka_conf_set(conf, "auto.commit.interval.ms", "1000");
		kafka_conf_set(conf, "auto.offset.reset", "earliest");
	}
	else
	{
		kafka_conf_set(conf, "enable.idempotence", "true");
		rd_kafka_conf_set_dr_msg_cb(conf, on_burial);
	}
	kafka = rd_kafka_new(type, conf, error, sizeof(error));
	if (kafka == NULL)
	{
		*problem = xstrdup(error);
		rd_kafka_conf_destroy(conf);
	}
	return kafka;
}

static void
connect_to_server(PaymentSource *source)
{
	const char *dbname = source->config->payments.dbname;

	database_connect(&source->database, dbname ? dbname : source->config->dbname, "commerce-relay payments");
}

static bool
server_allows(PaymentSource *source)
{
	Database   *database = &source->database;
	bool		allowed;

	connect_to_server(source);
	database_wait(database);
	if (database->state == DATABASE_READY)
	{
		database_query(database, "SELECT pg_catalog.has_function_privilege("
					   "'commerce.confirm_payment(bigint, boolean, text)', 'EXECUTE')");
		database_wait(database);
	}
	if (database->state != DATABASE_DONE)
		log_fatal("payments: %s", database->error);
	allowed = strcmp(PQgetvalue(database->results[0], 0, 0), "t") == 0;
	database_clear(database);
	if (!allowed)
		log_error("payments: the role may not call confirm_payment(); grant_relay(role, confirms_payments => true) lets it");
	return allowed;
}

PaymentSource *
payment_source_open(const Config *config)
{
	PaymentSource *source = xcalloc(1, sizeof(PaymentSource));
	char	   *problem = NULL;

	source->config = config;
	source->producer = open_kafka(source, RD_KAFKA_PRODUCER, &problem);
	if (source->producer)
		source->consumer = open_kafka(source, RD_KAFKA_CONSUMER, &problem);
	if (source->consumer == NULL)
	{
		log_error("payments: %s", problem);
		free(problem);
		return NULL;
	}
	if (!server_allows(source))
		return NULL;
	rd_kafka_poll_set_consumer(source->consumer);
	kafka_wake_for(rd_kafka_queue_get_consumer(source->consumer));
	kafka_wake_for(rd_kafka_queue_get_main(source->producer));
	return source;
}

/* The message at hand is dealt with. */
static void
done_with_message(PaymentSource *source)
{
	rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(offsets, rd_kafka_topic_name(source->message->rkt),
									  source->message->partition)->offset = source->message->offset + 1;
	/* fails when the partition was given to another consumer meanwhile, which then gets the message too */
	rd_kafka_offsets_store(source->consumer, offsets);
	rd_kafka_topic_partition_list_destroy(offsets);
	rd_kafka_message_destroy(source->message);
	source->message = NULL;
	free(source->text);
	source->text = NULL;
	free(source->refusal);
	source->refusal = NULL;
	source->state = PAYMENT_IDLE;
}

static void
refuse(PaymentSource *source, const char *why)
{
	log_error("payments: partition %d, offset %lld goes to the dead letters: %s",
			  source->message->partition, (long long) source->message->offset, why);
	free(source->refusal);
	source->refusal = xstrdup(why);
	source->state = PAYMENT_REFUSED;
	source->next_try = 0;
}

static void
take_message(PaymentSource *source)
{
	rd_kafka_message_t *message;

	while ((message = rd_kafka_consumer_poll(source->consumer, 0)) != NULL && message->err)
	{
		log_warning("payments: %s", rd_kafka_message_errstr(message));
		rd_kafka_message_destroy(message);
	}
	if (message == NULL)
		return;
	source->message = message;
	source->text = xcalloc(1, message->len + 1);
	if (message->len > 0)
		memcpy(source->text, message->payload, message->len);
	if (strlen(source->text) != message->len)
		refuse(source, "it is no text");
	else
	{
		source->state = PAYMENT_WAITING;
		source->next_try = 0;
	}
}

static void
ask(PaymentSource *source)
{
	database_query_with(&source->database,
						"SELECT (commerce.confirm_payment((m.result OPERATOR(pg_catalog.->>) 'order_id')::pg_catalog.int8, "
						"(m.result OPERATOR(pg_catalog.->>) 'succeeded')::pg_catalog.bool, "
						"m.result OPERATOR(pg_catalog.->>) 'provider_event_id')).status "
						"FROM (SELECT coalesce(v.value OPERATOR(pg_catalog.->) 'data', v.value) AS result "
						"FROM (SELECT $1::pg_catalog.jsonb AS value) v) m",
						source->text);
	source->state = PAYMENT_ASKING;
}

/*
 * Whether an error is the message's fault: data that make no sense, or one of commerce's own errors but
 * SERVICE_BUSY.
 */
static bool
is_refusal(const char *sqlstate)
{
	return strncmp(sqlstate, "22", 2) == 0 || (strncmp(sqlstate, "SH", 2) == 0 && strcmp(sqlstate, "SH429") != 0);
}

static void
handle_answer(PaymentSource *source, Millis now)
{
	Database   *database = &source->database;

	if (database->state == DATABASE_DONE)
	{
		log_debug("payments: partition %d, offset %lld: the order is %s", source->message->partition,
				  (long long) source->message->offset, PQgetvalue(database->results[0], 0, 0));
		done_with_message(source);
	}
	else if (database->state == DATABASE_FAILED && is_refusal(database->sqlstate))
		refuse(source, database->error);
	else
	{
		log_warning("payments: %s; trying again in %d ms", database->error, RETRY_DELAY);
		source->state = PAYMENT_WAITING;
		source->next_try = now + RETRY_DELAY;
	}
	database_clear(database);
}

static void
bury(PaymentSource *source, Millis now)
{
	const rd_kafka_message_t *message = source->message;
	const PaymentConfig *payments = &source->config->payments;
	char	   *origin = xformat("%s/%d/%lld", payments->topic, message->partition, (long long) message->offset);
	rd_kafka_resp_err_t error;

	source->buried = false;
	error = rd_kafka_producev(source->producer,
							  RD_KAFKA_V_TOPIC(payments->dead_letter_topic),
							  RD_KAFKA_V_KEY(message->key, message->key_len),
							  RD_KAFKA_V_VALUE(message->payload, message->len),
							  RD_KAFKA_V_HEADER("error", source->refusal, -1),
							  RD_KAFKA_V_HEADER("origin", origin, -1),
							  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							  RD_KAFKA_V_END);
	free(origin);
	if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
		source->state = PAYMENT_BURYING;
	else
	{
		log_error("payments: the dead-letter topic: %s", rd_kafka_err2str(error));
		source->next_try = now + RETRY_DELAY;
	}
}

static void
handle_burial(PaymentSource *source, Millis now)
{
	if (source->burial_error == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		done_with_message(source);
		return;
	}
	log_error("payments: the dead-letter topic: %s", rd_kafka_err2str(source->burial_error));
	source->state = PAYMENT_REFUSED;
	source->next_try = now + RETRY_DELAY;
}

static void
subscribe(PaymentSource *source)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(topics, source->config->payments.topic, RD_KAFKA_PARTITION_UA);
	rd_kafka_subscribe(source->consumer, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	source->subscribed = true;
}

void
payment_source_step(PaymentSource *source, Millis now)
{
	Database   *database = &source->database;

	if (!source->subscribed)
		subscribe(source);

	database_step(database, now);
	rd_kafka_poll(source->producer, 0);
	if (source->state == PAYMENT_ASKING && database->state != DATABASE_BUSY)
		handle_answer(source, now);
	if (database->state == DATABASE_CLOSED && now >= source->next_connect && !source->finishing)
	{
		source->next_connect = now + RETRY_DELAY;
		connect_to_server(source);
	}
	if (source->state == PAYMENT_BURYING && source->buried)
		handle_burial(source, now);
	if (source->state == PAYMENT_REFUSED && now >= source->next_try)
		bury(source, now);
	if (source->state == PAYMENT_IDLE && !source->finishing)
		take_message(source);
	if (source->state == PAYMENT_WAITING && now >= source->next_try && database->state == DATABASE_READY)
		ask(source);
}

Millis
payment_source_deadline(const PaymentSource *source)
{
	if (source->database.state == DATABASE_CLOSED)
		return source->finishing ? NEVER : source->next_connect;
	if (source->state == PAYMENT_REFUSED || (source->state == PAYMENT_WAITING && source->database.state == DATABASE_READY))
		return source->next_try;
	if (source->database.state == DATABASE_BUSY || source->database.state == DATABASE_CONNECTING)
		return source->database.deadline;
	return NEVER;
}

bool
payment_source_descriptor(const PaymentSource *source, struct curl_waitfd *descriptor)
{
	return database_descriptor(&source->database, descriptor);
}

void
payment_source_finish(PaymentSource *source)
{
	source->finishing = true;
}

bool
payment_source_finished(const PaymentSource *source)
{
	/* what has not begun, or cannot go on now, will come again */
	return source->finishing && (source->state == PAYMENT_IDLE || source->state == PAYMENT_WAITING ||
								 source->database.state == DATABASE_CLOSED);
}

void
payment_source_close(PaymentSource *source)
{
	if (source->message)
		rd_kafka_message_destroy(source->message);
	rd_kafka_consumer_close(source->consumer);
	rd_kafka_destroy(source->consumer);
	rd_kafka_destroy(source->producer);
	database_close(&source->database);
	free(source->database.error);
	free(source->text);
	free(source->refusal);
	free(source);
}
