/*
 * json_writer.h
 *	  Building jsonb values member by member.
 */
#ifndef COMMERCE_JSON_WRITER_H
#define COMMERCE_JSON_WRITER_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef struct JsonWriter
{
	JsonbParseState *state;
	JsonbValue *value;			/* of what was closed last */
} JsonWriter;

/* key is NULL for an array's element and for the outermost value. */
extern void json_open_object(JsonWriter *writer, const char *key);
extern void json_close_object(JsonWriter *writer);
extern void json_open_array(JsonWriter *writer, const char *key);
extern void json_close_array(JsonWriter *writer);

extern void json_put_int(JsonWriter *writer, const char *key, int64 number);
extern void json_put_id(JsonWriter *writer, const char *key, int64 id);	/* 0 is null */
extern void json_put_text(JsonWriter *writer, const char *key, const char *text);	/* NULL is null */
extern void json_put_time(JsonWriter *writer, const char *key, TimestampTz at);		/* 0 is null */

/* The finished value. */
extern Jsonb *json_finish(JsonWriter *writer);

#endif
