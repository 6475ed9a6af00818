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
append_attribute(PQExpBuffer out, const char *name, const char *value)
{
	appendPQExpBuffer(out, "\"%s\":", name);
	json_append_string(out, value);
	appendPQExpBufferChar(out, ',');
}

void
cloudevent_append(PQExpBuffer out, const Event *event, const char *source)
{
	appendPQExpBufferStr(out, "{\"specversion\":\"1.0\",");
	append_attribute(out, "id", event->id);
	append_attribute(out, "source", source);
	append_attribute(out, "type", event->type);
	appendPQExpBufferStr(out, "\"subject\":\"");
	json_append_escaped(out, event->aggregatetype);
	appendPQExpBufferChar(out, '/');
	json_append_escaped(out, event->aggregateid);
	appendPQExpBufferStr(out, "\",");
	append_attribute(out, "time", event->time);
	append_attribute(out, "partitionkey", event->aggregateid);
	append_attribute(out, "sequence", event->position);
	appendPQExpBufferStr(out, "\"datacontenttype\":\"application/json\",\"data\":");
	appendBinaryPQExpBuffer(out, event->payload, event->payload_length);
	appendPQExpBufferChar(out, '}');
}

void
cloudevent_append_batch(PQExpBuffer out, Event *const *events, int nevents, const char *source)
{
	appendPQExpBufferChar(out, '[');
	for (int i = 0; i < nevents; i++)
	{
		if (i > 0)
			appendPQExpBufferChar(out, ',');
		cloudevent_append(out, events[i], source);
	}
	appendPQExpBufferChar(out, ']');
}
