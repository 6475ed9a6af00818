/*
 * mock_kafka.c
 *	  A Kafka broker for tests: librdkafka's mock cluster.
 *
 * Prints "bootstrap.servers", then obeys lines on standard input, answering each with "done":
 *	 down, up				the broker
 *	 error CODE COUNT		the next answers to Produce are errors
 * and ends with the input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#define PRODUCE	0				/* the API's key in Kafka's protocol */

int
main(int argc, char **argv)
{
	char		error[200];
	char		line[200];
	rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, error, sizeof(error));
	rd_kafka_mock_cluster_t *cluster = kafka ? rd_kafka_mock_cluster_new(kafka, 1) : NULL;

	if (cluster == NULL)
		return 1;
	/* topics to create: NAME or NAME=PARTITIONS */
	for (int i = 1; i < argc; i++)
	{
		char	   *partitions = strchr(argv[i], '=');

		if (partitions)
			*partitions++ = '\0';
		rd_kafka_mock_topic_create(cluster, argv[i], partitions ? atoi(partitions) : 1, 1);
	}
	puts(rd_kafka_mock_cluster_bootstraps(cluster));
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
	{
		int			code;
		int			count;

		if (strcmp(line, "down\n") == 0)
			rd_kafka_mock_broker_set_down(cluster, 1);
		else if (strcmp(line, "up\n") == 0)
			rd_kafka_mock_broker_set_up(cluster, 1);
		else if (sscanf(line, "error %d %d", &code, &count) == 2)
		{
			while (count-- > 0)
				rd_kafka_mock_push_request_errors(cluster, PRODUCE, 1, code);
		}
		puts("done");
		fflush(stdout);
	}
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(kafka);
	return 0;
}
