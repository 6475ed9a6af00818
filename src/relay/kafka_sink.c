/*
 * kafka_sink.c
 *	  Events to a Kafka topic.
 */
#include "kafka_sink.h"

Sink *
kafka_sink_open(const Subscription *subscription, const Config *config, char **problem)
{
	*problem = xstrdup("not yet");
	return NULL;
}
