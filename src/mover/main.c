/*
 * main.c
 *	  commerce-mover: units of stock and quota to the cells that sell them.
 *
 * One thread, one loop.  Nothing in it waits but poll(): for the connections to the cells, signals, and the nearest
 * deadline.  In each turn everybody does what can be done now, looking at its own state only, so that no order of
 * happenings needs to be thought of.
 *
 *	  leader			whether this mover shares units out, or stands by
 *	  wants				who waits for units in a cell
 *	  look				what the cells have, and what follows from that
 *	  plan				which units are to move: a function
 *	  transfer			units on their way
 *	  hint				what a cell is told that the others have
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "client/log.h"
#include "client/signals.h"
#include "mover.h"
#include "options.h"

#define MAX_WAIT		1000

/* how long units under way may take to arrive after a signal */
#define MAX_FINISH		10000

static void
wait_for_something(const Mover *mover, struct pollfd *descriptors, Millis now)
{
	unsigned	count = mover_descriptors(mover, descriptors);
	Millis		timeout = mover_deadline(mover, now) - now;

	if (timeout < 0)
		timeout = 0;
	descriptors[count++] = signals_descriptor();
	poll(descriptors, count, (int) (timeout < MAX_WAIT ? timeout : MAX_WAIT));
	signals_woken();
}

/* Returns the exit status. */
static int
run(Mover *mover)
{
	struct pollfd *descriptors = xcalloc((size_t) mover->ncells * 2 + 1, sizeof(struct pollfd));
	Millis		stop_by = NEVER;
	int			status = 0;

	for (;;)
	{
		Millis		now = clock_now();

		if (signals_to_stop() > 1 || now > stop_by)
		{
			log_warning("ending without waiting for units under way: the next mover finishes them");
			status = 1;
			break;
		}
		if (signals_to_stop() > 0 && !mover->finishing)
		{
			log_info("a signal to end: finishing what is under way");
			stop_by = now + MAX_FINISH;
			mover_finish(mover);
		}
		mover_step(mover, now);
		if (mover->finishing && mover_finished(mover))
			break;
		wait_for_something(mover, descriptors, now);
	}
	free(descriptors);
	return status;
}

int
main(int argc, char **argv)
{
	Options		options;
	CellList	cells;
	Mover	   *mover;
	int			status;

	options_read(argc, argv, &options, &cells);
	srand48((long) time(NULL) ^ ((long) getpid() << 16));
	signals_start();
	mover = mover_open(&cells, options.check ? NULL : options.metrics);
	if (options.check)
	{
		status = mover_check(mover) ? 0 : 1;
		if (status == 0)
			log_info("the list of cells and the connections are in order");
	}
	else
		status = run(mover);
	mover_close(mover);
	cells_free(&cells);
	return status;
}
