/*
 * event.c
 *	  Events in memory.
 */
#include "event.h"

#include <stdlib.h>
#include <string.h>

static const char *
put(char **place, const char *text, size_t length)
{
	char	   *copy = *place;

	memcpy(copy, text, length + 1);
	*place += length + 1;
	return copy;
}

Event *
event_create(const char *position, const char *id, const char *type,
			 const char *aggregatetype, const char *aggregateid, const char *payload,
			 const char *time, int attempts)
{
	const char *const texts[] = {position, id, type, aggregatetype, aggregateid, payload, time};
	size_t		lengths[7];
	size_t		total = sizeof(Event);
	Event	   *event;
	char	   *place;

	for (int i = 0; i < 7; i++)
	{
		lengths[i] = strlen(texts[i]);
		total += lengths[i] + 1;
	}
	event = xcalloc(1, total);
	place = (char *) (event + 1);
	event->position = put(&place, position, lengths[0]);
	event->id = put(&place, id, lengths[1]);
	event->type = put(&place, type, lengths[2]);
	event->aggregatetype = put(&place, aggregatetype, lengths[3]);
	event->aggregateid = put(&place, aggregateid, lengths[4]);
	event->payload = put(&place, payload, lengths[5]);
	event->payload_length = lengths[5];
	event->time = put(&place, time, lengths[6]);
	event->attempts = attempts;
	return event;
}

void
event_free(Event *event)
{
	free(event->error);
	free(event);
}
