/*
 * payment_source.c
 *	  Payment results from a Kafka topic to the shop; owns a consumer and a connection to the server.
 *
 * A message is {"order_id": 1, "succeeded": true, "provider_event_id": "...", "amount": 9000}, or the same about a
 * charge_id or a refund_id, or a CloudEvent with that as its data.  One message at a time is at hand, and its offset is stored only when the server has committed
 * what became of it: it was confirmed, or it is kept in parked_payment_results.  A message that comes again
 * has no further effect: the shop knows its provider_event_id.
 *
 * A message that fails for what it says is a dead letter at once.  One that fails for another reason is
 * parked on the server and tried again, with growing pauses, until it has been there for give_up_after.  The
 * server keeps later messages about the same order, charge or refund behind it; others go on.  While the server can
 * neither confirm nor park, the message stays at hand.
 */
#include "payment_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/database.h"
#include "kafka.h"
#include "client/log.h"

#define RETRY_DELAY		1000
#define DEFAULT_GROUP	"commerce-relay"

typedef enum PaymentState
{
	PAYMENT_IDLE,				/* no message at hand */
	PAYMENT_CLAIMING,			/* asking for a parked one that is due */
	PAYMENT_AT_HAND,			/* to be confirmed */
	PAYMENT_CONFIRMING,
	PAYMENT_FAILED,				/* the server is to be told, not before next_try */
	PAYMENT_TELLING
} PaymentState;

struct PaymentSource
{
	const Config *config;
	rd_kafka_t *consumer;
	Database	database;
	bool		preparing;		/* the session's settings are under way */
	bool		prepared;		/* they are set */
	PaymentState state;
	rd_kafka_message_t *message;	/* at hand, when it comes from the topic */
	char	   *parked_id;		/* of the message at hand, when the server had it */
	char	   *origin;			/* topic/partition/offset */
	char	   *error;			/* why it failed */
	bool		refused;		/* for what it says */
	bool		subscribed;		/* to the topic */
	bool		topic_next;		/* its turn, after a parked message */
	Millis		next_try;
	Millis		next_claim;
	Millis		next_connect;
	bool		finishing;
};

static rd_kafka_t *
open_consumer(PaymentSource *source, char **problem)
{
	const PaymentConfig *payments = &source->config->payments;
	const Secret *secret = payments->secret_name ? config_secret(source->config, payments->secret_name) : NULL;
	rd_kafka_conf_t *conf = kafka_conf(payments->brokers, secret, problem);
	rd_kafka_t *consumer;
	char		error[300];

	if (conf == NULL)
		return NULL;
	kafka_conf_set(conf, "group.id", payments->group ? payments->group : DEFAULT_GROUP);
	kafka_conf_set(conf, "enable.auto.offset.store", "false");
	kafka_conf_set(conf, "auto.commit.interval.ms", "1000");
	kafka_conf_set(conf, "auto.offset.reset", "earliest");
	consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof(error));
	if (consumer == NULL)
	{
		*problem = xstrdup(error);
		rd_kafka_conf_destroy(conf);
	}
	return consumer;
}

static void
connect_to_server(Database *database, const Config *config)
{
	const char *dbname = config->payments.dbname;

	database_connect(database, dbname ? dbname : config->dbname, "commerce-relay payments");
}

/* Connects, and waits for the query's value, which is valid until database_clear(). */
static const char *
ask_and_wait(Database *database, const Config *config, const char *sql)
{
	connect_to_server(database, config);
	database_wait(database);
	if (database->state == DATABASE_READY)
	{
		database_query(database, sql);
		database_wait(database);
	}
	if (database->state != DATABASE_DONE)
		log_fatal("payments: %s", database->error);
	return PQgetvalue(database->results[0], 0, 0);
}

static bool
server_allows(PaymentSource *source)
{
	bool		allowed = strcmp(ask_and_wait(&source->database, source->config,
											  "SELECT pg_catalog.has_function_privilege("
											  "'commerce_private.receive_payment_result(bytea, text)', 'EXECUTE')"), "t") == 0;

	database_clear(&source->database);
	if (!allowed)
		log_error("payments: the role may not confirm payments; grant_relay(role, confirms_payments => true) lets it");
	return allowed;
}

void
payment_source_redeliver(const Config *config)
{
	Database	database = {0};

	log_info("payments: %s dead letters will be tried again",
			 ask_and_wait(&database, config, "SELECT commerce.redeliver_payment_results()"));
	database_close(&database);
}

PaymentSource *
payment_source_open(const Config *config)
{
	PaymentSource *source = xcalloc(1, sizeof(PaymentSource));
	char	   *problem = NULL;

	source->config = config;
	source->consumer = open_consumer(source, &problem);
	if (source->consumer == NULL)
	{
		log_error("payments: %s", problem);
		free(problem);
	}
	else if (server_allows(source))
	{
		rd_kafka_poll_set_consumer(source->consumer);
		kafka_wake_for(rd_kafka_queue_get_consumer(source->consumer));
		return source;
	}
	payment_source_close(source);
	return NULL;
}

static void
store_offset(PaymentSource *source)
{
	const rd_kafka_message_t *message = source->message;
	rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(offsets, rd_kafka_topic_name(message->rkt), message->partition)->offset =
		message->offset + 1;
	/* fails when the partition was given to another consumer meanwhile, which then gets the message too */
	rd_kafka_offsets_store(source->consumer, offsets);
	rd_kafka_topic_partition_list_destroy(offsets);
}

static void
forget_message(PaymentSource *source)
{
	if (source->message)
		rd_kafka_message_destroy(source->message);
	source->message = NULL;
	free(source->parked_id);
	source->parked_id = NULL;
	free(source->origin);
	source->origin = NULL;
	free(source->error);
	source->error = NULL;
	source->refused = false;
}

/* The server has the message at hand, or what it says. */
static void
done_with_message(PaymentSource *source)
{
	if (source->message)
		store_offset(source);
	source->topic_next = source->parked_id != NULL;
	forget_message(source);
	source->state = PAYMENT_IDLE;
}

static void
fail_message(PaymentSource *source, const char *why, bool refused)
{
	free(source->error);
	source->error = xstrdup(why);
	source->refused = refused;
	source->state = PAYMENT_FAILED;
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
	source->origin = xformat("%s/%d/%lld", rd_kafka_topic_name(message->rkt), message->partition,
							 (long long) message->offset);
	source->state = PAYMENT_AT_HAND;
}

/*
 * Queries
 */

static void
prepare_session(PaymentSource *source)
{
	/* a message that waits for a lock, say, is to keep the others for a short time only */
	database_query(&source->database, "SET search_path = ''; SET jit = off; SET statement_timeout = '5s'");
	source->preparing = true;
}

static void
claim(PaymentSource *source)
{
	database_query(&source->database, "SELECT id, origin FROM commerce_private.due_payment_result()");
	source->state = PAYMENT_CLAIMING;
}

static Parameter
message_parameter(const rd_kafka_message_t *message)
{
	Parameter	parameter = {.value = message->payload ? message->payload : "", .is_bytea = true, .length = (int) message->len};

	return parameter;
}

static void
confirm(PaymentSource *source)
{
	if (source->parked_id)
	{
		Parameter	parameters[] = {{.value = source->parked_id}};

		database_query_with(&source->database, "SELECT commerce_private.retry_payment_result($1)", parameters, 1);
	}
	else
	{
		Parameter	parameters[] = {message_parameter(source->message), {.value = source->origin}};

		database_query_with(&source->database, "SELECT commerce_private.receive_payment_result($1, $2)", parameters, 2);
	}
	source->state = PAYMENT_CONFIRMING;
}

static void
tell(PaymentSource *source)
{
	Parameter	error = {.value = source->error};
	Parameter	refused = {.value = source->refused ? "t" : "f"};

	if (source->parked_id)
	{
		char	   *give_up_after = xformat("%lld ms", (long long) source->config->payments.give_up_after);
		Parameter	parameters[] = {{.value = source->parked_id}, error, refused, {.value = give_up_after}};

		database_query_with(&source->database, "SELECT commerce_private.fail_payment_result($1, $2, $3, $4)", parameters, 4);
		free(give_up_after);
	}
	else
	{
		Parameter	parameters[] = {message_parameter(source->message), {.value = source->origin}, error, refused};

		database_query_with(&source->database, "SELECT commerce_private.park_payment_result($1, $2, $3, $4)", parameters, 4);
	}
	source->state = PAYMENT_TELLING;
}

/*
 * Their results
 */

/* Whether an error is the message's fault: data or a size that make no sense, or commerce says no, but SERVICE_BUSY. */
static bool
is_refusal(const char *sqlstate)
{
	return strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "54", 2) == 0 ||
		(strncmp(sqlstate, "SH", 2) == 0 && strcmp(sqlstate, "SH429") != 0);
}

static void
handle_claim(PaymentSource *source, Millis now)
{
	const PGresult *result = source->database.results[0];

	if (PQntuples(result) == 0 || PQgetisnull(result, 0, 0))
	{
		source->state = PAYMENT_IDLE;
		source->next_claim = now + source->config->poll_interval;
		return;
	}
	source->parked_id = xstrdup(PQgetvalue(result, 0, 0));
	source->origin = xstrdup(PQgetvalue(result, 0, 1));
	source->state = PAYMENT_AT_HAND;
}

static void
handle_confirmed(PaymentSource *source)
{
	const PGresult *result = source->database.results[0];

	if (!PQgetisnull(result, 0, 0))
		log_debug("payments: %s: %s", source->origin, PQgetvalue(result, 0, 0));
	else if (source->message)
		log_warning("payments: %s waits behind another message about the same", source->origin);
	done_with_message(source);
}

static void
handle_told(PaymentSource *source)
{
	const PGresult *result = source->database.results[0];

	if (source->refused || strcmp(PQgetvalue(result, 0, 0), "t") == 0)
		log_error("payments: %s is a dead letter: %s", source->origin, source->error);
	else
		log_warning("payments: %s will be tried again: %s", source->origin, source->error);
	done_with_message(source);
}

static void
handle_results(PaymentSource *source, Millis now)
{
	if (source->preparing)
	{
		source->preparing = false;
		source->prepared = true;
	}
	else if (source->state == PAYMENT_CLAIMING)
		handle_claim(source, now);
	else if (source->state == PAYMENT_CONFIRMING)
		handle_confirmed(source);
	else if (source->state == PAYMENT_TELLING)
		handle_told(source);
	database_clear(&source->database);
}

static void
handle_error(PaymentSource *source, Millis now)
{
	Database   *database = &source->database;
	bool		refused = is_refusal(database->sqlstate);

	if (source->preparing)
	{
		log_warning("payments: %s", database->error);
		database_close(database);
		return;
	}
	if (source->state == PAYMENT_CONFIRMING)
		fail_message(source, database->error, refused);
	else if (source->state == PAYMENT_TELLING && refused && !source->refused)
		fail_message(source, database->error, true);
	else
	{
		log_warning("payments: %s; trying again in %d ms", database->error, RETRY_DELAY);
		source->state = source->state == PAYMENT_TELLING ? PAYMENT_FAILED : PAYMENT_IDLE;
		source->next_try = now + RETRY_DELAY;
		source->next_claim = now + RETRY_DELAY;
	}
	database_clear(database);
}

/* Without a connection: what was under way is not known to have happened. */
static void
handle_lost(PaymentSource *source, Millis now)
{
	if (source->preparing || source->prepared)
		log_warning("payments: %s; connecting again", source->database.error);
	source->preparing = false;
	source->prepared = false;
	if (source->state == PAYMENT_CLAIMING)
		source->state = PAYMENT_IDLE;
	else if (source->state == PAYMENT_CONFIRMING)
		fail_message(source, source->database.error, false);
	else if (source->state == PAYMENT_TELLING)
		source->state = PAYMENT_FAILED;
	if (now >= source->next_connect && !source->finishing)
	{
		source->next_connect = now + RETRY_DELAY;
		connect_to_server(&source->database, source->config);
	}
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

/* With a connection that does nothing: what is next? */
static void
choose_query(PaymentSource *source, Millis now)
{
	if (!source->prepared)
	{
		prepare_session(source);
		return;
	}
	if (source->state == PAYMENT_IDLE && !source->finishing)
	{
		/* parked messages and those of the topic take turns */
		if (source->topic_next || now < source->next_claim)
			take_message(source);
		source->topic_next = false;
		if (source->state == PAYMENT_IDLE && now >= source->next_claim)
			claim(source);
	}
	if (source->state == PAYMENT_AT_HAND)
		confirm(source);
	else if (source->state == PAYMENT_FAILED && now >= source->next_try)
		tell(source);
}

void
payment_source_step(PaymentSource *source, Millis now)
{
	Database   *database = &source->database;

	if (!source->subscribed)
		subscribe(source);
	database_step(database, now);
	if (database->state == DATABASE_DONE)
		handle_results(source, now);
	else if (database->state == DATABASE_FAILED)
		handle_error(source, now);
	if (database->state == DATABASE_CLOSED)
		handle_lost(source, now);
	if (database->state == DATABASE_READY)
		choose_query(source, now);
}

Millis
payment_source_deadline(const PaymentSource *source)
{
	if (source->database.state == DATABASE_CLOSED)
		return source->finishing ? NEVER : source->next_connect;
	if (source->database.state == DATABASE_BUSY || source->database.state == DATABASE_CONNECTING)
		return source->database.deadline;
	if (source->state == PAYMENT_FAILED)
		return source->next_try;
	if (source->state == PAYMENT_IDLE && !source->finishing)
		return source->topic_next ? 0 : source->next_claim;
	return NEVER;
}

bool
payment_source_descriptor(const PaymentSource *source, struct pollfd *descriptor)
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
	return source->finishing && (source->state == PAYMENT_IDLE || source->state == PAYMENT_AT_HAND ||
								 source->state == PAYMENT_FAILED || source->database.state == DATABASE_CLOSED);
}

void
payment_source_close(PaymentSource *source)
{
	forget_message(source);
	if (source->consumer)
	{
		rd_kafka_consumer_close(source->consumer);
		rd_kafka_destroy(source->consumer);
	}
	database_close(&source->database);
	free(source->database.error);
	free(source);
}
