/*
 * signals.c
 *	  How a client program is told to end; owns the handlers, and the pipe by which they wake the loop.
 */
#include "client/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "client/log.h"

static volatile sig_atomic_t stop_signals = 0;
static int	signal_pipe[2];

static void
on_stop(int signal_number)
{
	int			saved_errno = errno;

	stop_signals++;
	if (write(signal_pipe[1], "", 1) < 0)
	{
		/* it is full, so that the loop wakes up anyhow */
	}
	errno = saved_errno;
}

void
signals_start(void)
{
	struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	if (pipe(signal_pipe) != 0)
		log_fatal("could not make a pipe");
	for (int i = 0; i < 2; i++)
	{
		fcntl(signal_pipe[i], F_SETFL, O_NONBLOCK);
		fcntl(signal_pipe[i], F_SETFD, FD_CLOEXEC);
	}
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

int
signals_to_stop(void)
{
	return stop_signals;
}

struct pollfd
signals_descriptor(void)
{
	struct pollfd descriptor = {.fd = signal_pipe[0], .events = POLLIN};

	return descriptor;
}

void
signals_woken(void)
{
	char		bytes[64];

	while (read(signal_pipe[0], bytes, sizeof(bytes)) > 0)
		;
}
