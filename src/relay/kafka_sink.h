/*
 * kafka_sink.h
 *	  Events to a Kafka topic.
 */
#ifndef RELAY_KAFKA_SINK_H
#define RELAY_KAFKA_SINK_H

#include "config.h"
#include "sink.h"

/* Keeps both; NULL and *problem (malloc'ed) when librdkafka does not like the settings. */
extern Sink *kafka_sink_open(const Subscription *subscription, const Config *config, char **problem);

/* Hands over what the brokers have answered. */
extern void kafka_sinks_step(void);

#endif
