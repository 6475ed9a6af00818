/*
 * source.h
 *	  A subscription at work: from the server to its sink.
 */
#ifndef RELAY_SOURCE_H
#define RELAY_SOURCE_H

#include <poll.h>

#include "config.h"
#include "sink.h"

typedef struct Source Source;

/* Owns the subscription and the sink from here on. */
extern Source *source_open(Subscription *subscription, const Config *config, Sink *sink);

extern const Subscription *source_subscription(const Source *source);

/* Does what can be done now. */
extern void source_step(Source *source, Millis now);

/* When to call source_step() again at the latest. */
extern Millis source_deadline(const Source *source, Millis now);

extern bool source_descriptor(const Source *source, struct pollfd *descriptor);

/* Parked events are due. */
extern void source_wake_parked(Source *source);

/* Lets it end when what is under way is answered and saved; source_finished() says when that is. */
extern void source_finish(Source *source);
extern bool source_finished(const Source *source);

/*
 * Nothing can be delivered now: all is done, or waits for another attempt or another relay.  all_done: says
 * which of the two.
 */
extern bool source_idle(const Source *source, bool *all_done);

extern void source_close(Source *source);

#endif
