/*
 * json_writer.h
 *	  Building jsonb values member by member.
 */
#ifndef COMMERCE_JSON_WRITER_H
#define COMMERCE_JSON_WRITER_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef struct JsonLevel JsonLevel;

typedef struct JsonWriter
{
	JsonLevel  *level;			/* the container that is open */
	Jsonb	   *value;			/* the outermost one, once it is closed */
	bool		keys_vary;		/* keys are no string constants */
} JsonWriter;

/*
 * key is NULL for an array's element and for the outermost value, and otherwise unlike the object's others, and a string
 * constant unless keys_vary is set.  Texts must live until json_finish().
 */
extern void json_open_object(JsonWriter *writer, const char *key);
extern void json_close_object(JsonWriter *writer);
extern void json_open_array(JsonWriter *writer, const char *key);
extern void json_close_array(JsonWriter *writer);

extern void json_put_int(JsonWriter *writer, const char *key, int64 number);
extern void json_put_id(JsonWriter *writer, const char *key, int64 id);	/* 0 is null */
extern void json_put_text(JsonWriter *writer, const char *key, const char *text);	/* NULL is null */
extern void json_put_bool(JsonWriter *writer, const char *key, bool value);
extern void json_put_jsonb(JsonWriter *writer, const char *key, Jsonb *jsonb);	/* NULL is null */
extern void json_put_time(JsonWriter *writer, const char *key, TimestampTz at);		/* 0 is null */

/* Another writer, of an object that begins with what the outermost one, which is open, has so far. */
extern JsonWriter json_fork(const JsonWriter *writer);

/*
 * A composite value with its first columns (0: all), but for those of a list that ends with NULL, as to_jsonb() has it
 * where times are written in UTC.
 */
extern Jsonb *json_of_row(Datum row, int ncolumns, const char *const *without);

/* The finished value. */
extern Jsonb *json_finish(JsonWriter *writer);

#endif
