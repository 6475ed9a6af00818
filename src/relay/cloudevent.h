/*
 * cloudevent.h
 *	  Events as JSON CloudEvents 1.0.
 */
#ifndef RELAY_CLOUDEVENT_H
#define RELAY_CLOUDEVENT_H

#include "client/buffer.h"
#include "event.h"

#define CLOUDEVENT_TYPE			"application/cloudevents+json; charset=utf-8"
#define CLOUDEVENT_BATCH_TYPE	"application/cloudevents-batch+json; charset=utf-8"

/* Appends the event's JSON object. */
extern void cloudevent_append(PQExpBuffer out, const Event *event, const char *source);

/* Appends a JSON array of events. */
extern void cloudevent_append_batch(PQExpBuffer out, Event *const *events, int nevents, const char *source);

#endif
