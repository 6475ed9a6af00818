/*
 * cloudevent.c
 *	  Events as JSON CloudEvents 1.0 (https://cloudevents.io), structured or batched.
 *
 * The payload is jsonb as the server wrote it, so it is JSON already and goes in as it is.  Besides the
 * attributes of the core there are two documented extensions: partitionkey, the aggregate's id, and
 * sequence, the position, whose text order is the order of the events.
 */
#include "cloudevent.h"

#include "json.h"

static void
append_attribute(Buffer *out, const char *name, const char *value)
{
	buffer_printf(out, "\"%s\":", name);
	json_append_string(out, value);
	buffer_append_char(out, ',');
}

void
cloudevent_append(Buffer *out, const Event *event, const char *source)
{
	buffer_append(out, "{\"specversion\":\"1.0\",");
	append_attribute(out, "id", event->id);
	append_attribute(out, "source", source);
	append_attribute(out, "type", event->type);
	buffer_append(out, "\"subject\":\"");
	json_append_escaped(out, event->aggregatetype);
	buffer_append_char(out, '/');
	json_append_escaped(out, event->aggregateid);
	buffer_append(out, "\",");
	append_attribute(out, "time", event->time);
	append_attribute(out, "partitionkey", event->aggregateid);
	append_attribute(out, "sequence", event->position);
	buffer_append(out, "\"datacontenttype\":\"application/json\",\"data\":");
	buffer_append_bytes(out, event->payload, event->payload_length);
	buffer_append_char(out, '}');
}

void
cloudevent_append_batch(Buffer *out, Event *const *events, int nevents, const char *source)
{
	buffer_append_char(out, '[');
	for (int i = 0; i < nevents; i++)
	{
		if (i > 0)
			buffer_append_char(out, ',');
		cloudevent_append(out, events[i], source);
	}
	buffer_append_char(out, ']');
}
