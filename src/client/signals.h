/*
 * signals.h
 *	  How a client program is told to end.
 */
#ifndef CLIENT_SIGNALS_H
#define CLIENT_SIGNALS_H

#include <poll.h>

/* Catches SIGTERM and SIGINT, and ignores SIGPIPE. */
extern void signals_start(void);

/* How many have come that ask to end. */
extern int	signals_to_stop(void);

/* Becomes readable with each of them: what a loop waits for. */
extern struct pollfd signals_descriptor(void);

/* Takes the wake-ups away. */
extern void signals_woken(void);

#endif
