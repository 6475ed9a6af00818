/*
 * kafka.h
 *	  What the Kafka sink and the payment source share.
 */
#ifndef RELAY_KAFKA_H
#define RELAY_KAFKA_H

#include <poll.h>
#include <librdkafka/rdkafka.h>

#include "config.h"

/*
 * librdkafka's settings for these brokers, with the secret's properties (NULL: none); NULL, and *problem
 * (malloc'ed), when it does not like them.
 */
extern rd_kafka_conf_t *kafka_conf(const char *brokers, const Secret *secret, char **problem);

/* Has the producer connect only to the sinks' addresses; its opaque is left alone. */
extern void kafka_conf_limit(rd_kafka_conf_t *conf, const Config *config);

/* Sets one property, which is known to be right. */
extern void kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value);

/* Has the loop woken when something comes into the queue, which it takes over. */
extern void kafka_wake_for(rd_kafka_queue_t *queue);

/* What to wait for; false when no queue wakes anybody. */
extern bool kafka_descriptor(struct pollfd *descriptor);

/* Takes the wake-ups away, before the queues are looked at. */
extern void kafka_woken(void);

#endif
