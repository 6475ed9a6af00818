/*
 * http_sink.h
 *	  Events to an HTTP endpoint.
 */
#ifndef RELAY_HTTP_SINK_H
#define RELAY_HTTP_SINK_H

#include <poll.h>

#include "config.h"
#include "sink.h"

/* Once, before anything else here. */
extern void http_start(void);

/*
 * Waits until something can be done: on a transfer, on one of the descriptors, or until the time is up;
 * then does what can be done on transfers.
 */
extern void http_wait(const struct pollfd *descriptors, unsigned count, Millis timeout);

/* Both arguments are kept. */
extern Sink *http_sink_open(const Subscription *subscription, const Config *config);

#endif
