/*
 * kafka_sink.h
 *	  Events to a Kafka topic.
 */
#ifndef RELAY_KAFKA_SINK_H
#define RELAY_KAFKA_SINK_H

#include <curl/curl.h>

#include "config.h"
#include "sink.h"

/* Keeps the subscription; NULL and *problem (malloc'ed) when librdkafka does not like its settings. */
extern Sink *kafka_sink_open(const Subscription *subscription, const Config *config, char **problem);

#endif
