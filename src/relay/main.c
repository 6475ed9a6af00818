/*
 * main.c
 *	  commerce-relay: the events of commerce to HTTP endpoints and Kafka topics.
 *
 * One thread, one loop.  Nothing in it waits but http_wait(), which waits for everything: transfers,
 * connections to the server, signals, and the nearest deadline.  In each turn everybody does what can be
 * done now, looking at its own state only, so that no order of happenings needs to be thought of.
 *
 *	  directory			which subscriptions there are
 *	  source			one of them: its connection, its lock, its queries
 *	  delivery			which of its events goes when, and again when
 *	  http_sink, kafka_sink	where it goes
 *	  payment_source	the other way: payment results from a Kafka topic
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "directory.h"
#include "http_sink.h"
#include "kafka.h"
#include "kafka_sink.h"
#include "client/log.h"
#include "client/signals.h"
#include "options.h"
#include "payment_source.h"

#define MAX_WAIT		1000

/* how long requests under way may take to end after a signal, beyond their own timeouts */
#define MAX_FINISH		30000

static void
wait_for_something(Directory *directory, const PaymentSource *payments, Millis now)
{
	unsigned	count;
	struct pollfd *own = directory_descriptors(directory, &count);
	struct pollfd *all = xcalloc(count + 3, sizeof(struct pollfd));
	Millis		timeout = directory_deadline(directory, now) - now;

	for (unsigned i = 0; i < count; i++)
		all[i] = own[i];
	all[count++] = signals_descriptor();
	if (kafka_descriptor(&all[count]))
		count++;
	if (payments)
	{
		if (payment_source_descriptor(payments, &all[count]))
			count++;
		if (payment_source_deadline(payments) - now < timeout)
			timeout = payment_source_deadline(payments) - now;
	}
	if (timeout < 0)
		timeout = 0;
	http_wait(all, count, timeout < MAX_WAIT ? timeout : MAX_WAIT);
	signals_woken();
	kafka_woken();
	kafka_sinks_step();
	free(all);
}

/* Returns the exit status. */
static int
run(Directory *directory, PaymentSource *payments, bool once)
{
	bool		stopping = false;
	bool		all_done = true;
	Millis		stop_by = NEVER;

	for (;;)
	{
		Millis		now = clock_now();

		if (signals_to_stop() > 1 || now > stop_by)
		{
			log_warning("ending without waiting for requests under way");
			return 1;
		}
		if (signals_to_stop() > 0 && !stopping)
		{
			log_info("a signal to end: finishing what is under way");
			stopping = true;
			stop_by = now + MAX_FINISH;
			directory_finish(directory);
			if (payments)
				payment_source_finish(payments);
		}
		directory_step(directory, now);
		if (payments)
			payment_source_step(payments, now);
		if (stopping && directory_finished(directory) && (payments == NULL || payment_source_finished(payments)))
			return once && !all_done ? 3 : 0;
		if (once && !stopping && directory_idle(directory, &all_done))
		{
			stopping = true;
			directory_finish(directory);
			continue;
		}
		wait_for_something(directory, payments, now);
	}
}

/* Returns the exit status. */
static int
work(Directory *directory, PaymentSource **payments, const Options *options, const Config *config)
{
	/* one wrong subscription does not keep the others from being delivered */
	if (!directory_load(directory) && (options->check || directory_finished(directory)))
		return 2;
	/* payment results never end: --once is for events */
	if (config->payments.topic && !options->once && (*payments = payment_source_open(config)) == NULL)
		return 2;
	if (options->check)
	{
		log_info("configuration and connection are in order");
		return 0;
	}
	return run(directory, *payments, options->once);
}

int
main(int argc, char **argv)
{
	/* what they point to is there as long as the program is */
	static Options options;
	static Config config;
	Directory  *directory;
	PaymentSource *payments = NULL;
	int			status;

	options_read(argc, argv, &options, &config);
	srand48((long) time(NULL) ^ ((long) getpid() << 16));
	signals_start();
	if (options.redeliver_payments)
	{
		payment_source_redeliver(&config);
		return 0;
	}
	http_start();
	directory = directory_open(&config, options.subscriptions, options.nsubscriptions);
	status = work(directory, &payments, &options, &config);
	directory_close(directory);
	if (payments)
		payment_source_close(payments);
	return status;
}
