/*
 * kafka.c
 *	  What the Kafka sink and the payment source share: settings, and the pipe by which librdkafka's threads
 *	  wake the loop.
 */
#include "kafka.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "destination.h"
#include "client/log.h"

static int	wake_pipe[2] = {-1, -1};
static const Config *limits;	/* of the sinks' addresses; all producers have the same */

static void
log_kafka(const rd_kafka_t *kafka, int level, const char *facility, const char *text)
{
	/* what is an error to the broker's connection is a nuisance to us: librdkafka goes on trying */
	if (level <= 3)
		log_warning("kafka: %s", text);
	else
		log_debug("kafka: %s", text);
}

rd_kafka_conf_t *
kafka_conf(const char *brokers, const Secret *secret, char **problem)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		error[300];

	rd_kafka_conf_set_log_cb(conf, log_kafka);
	kafka_conf_set(conf, "client.id", "commerce-relay");
	kafka_conf_set(conf, "bootstrap.servers", brokers);
	/* what comes after this wins */
	kafka_conf_set(conf, "session.timeout.ms", "10000");
	for (int i = 0; secret && i < secret->kafka.count; i++)
	{
		const Property *property = &secret->kafka.items[i];

		if (rd_kafka_conf_set(conf, property->name, property->value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
		{
			*problem = xformat("[secret %s]: kafka.%s: %s", secret->name, property->name, error);
			rd_kafka_conf_destroy(conf);
			return NULL;
		}
	}
	return conf;
}

void
kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		error[300];

	if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
		log_fatal("librdkafka: %s", error);
}

/* Called in a thread of librdkafka's; returns 0 or an errno. */
static int
connect_to_sink(int socket, const struct sockaddr *address, int length, const char *name, void *opaque)
{
	if (!destination_allows(limits, address))
		return EACCES;
	/* librdkafka waits for what is in progress */
	return connect(socket, address, (socklen_t) length) == 0 || errno == EINPROGRESS ? 0 : errno;
}

void
kafka_conf_limit(rd_kafka_conf_t *conf, const Config *config)
{
	limits = config;
	rd_kafka_conf_set_connect_cb(conf, connect_to_sink);
}

void
kafka_wake_for(rd_kafka_queue_t *queue)
{
	if (wake_pipe[0] < 0)
	{
		if (pipe(wake_pipe) != 0)
			log_fatal("could not make a pipe");
		for (int i = 0; i < 2; i++)
		{
			fcntl(wake_pipe[i], F_SETFL, O_NONBLOCK);
			fcntl(wake_pipe[i], F_SETFD, FD_CLOEXEC);
		}
	}
	rd_kafka_queue_io_event_enable(queue, wake_pipe[1], "", 1);
	rd_kafka_queue_destroy(queue);
}

bool
kafka_descriptor(struct pollfd *descriptor)
{
	if (wake_pipe[0] < 0)
		return false;
	descriptor->fd = wake_pipe[0];
	descriptor->events = POLLIN;
	descriptor->revents = 0;
	return true;
}

void
kafka_woken(void)
{
	char		bytes[200];

	while (wake_pipe[0] >= 0 && read(wake_pipe[0], bytes, sizeof(bytes)) > 0)
		;
}
