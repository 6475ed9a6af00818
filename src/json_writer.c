/*
 * json_writer.c
 *	  Building jsonb values member by member.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "json_writer.h"

static void
put_key(JsonWriter *writer, const char *key)
{
	JsonbValue	name;

	if (key == NULL)
		return;
	name.type = jbvString;
	name.val.string.val = unconstify(char *, key);
	name.val.string.len = strlen(key);
	pushJsonbValue(&writer->state, WJB_KEY, &name);
}

static void
put_scalar(JsonWriter *writer, const char *key, JsonbValue *scalar)
{
	put_key(writer, key);
	pushJsonbValue(&writer->state, key ? WJB_VALUE : WJB_ELEM, scalar);
}

void
json_open_object(JsonWriter *writer, const char *key)
{
	put_key(writer, key);
	pushJsonbValue(&writer->state, WJB_BEGIN_OBJECT, NULL);
}

void
json_close_object(JsonWriter *writer)
{
	writer->value = pushJsonbValue(&writer->state, WJB_END_OBJECT, NULL);
}

void
json_open_array(JsonWriter *writer, const char *key)
{
	put_key(writer, key);
	pushJsonbValue(&writer->state, WJB_BEGIN_ARRAY, NULL);
}

void
json_close_array(JsonWriter *writer)
{
	writer->value = pushJsonbValue(&writer->state, WJB_END_ARRAY, NULL);
}

void
json_put_int(JsonWriter *writer, const char *key, int64 number)
{
	JsonbValue	scalar;

	scalar.type = jbvNumeric;
	scalar.val.numeric = int64_to_numeric(number);
	put_scalar(writer, key, &scalar);
}

void
json_put_id(JsonWriter *writer, const char *key, int64 id)
{
	if (id == 0)
		json_put_text(writer, key, NULL);
	else
		json_put_int(writer, key, id);
}

void
json_put_text(JsonWriter *writer, const char *key, const char *text)
{
	JsonbValue	scalar;

	if (text == NULL)
		scalar.type = jbvNull;
	else
	{
		scalar.type = jbvString;
		scalar.val.string.val = unconstify(char *, text);
		scalar.val.string.len = strlen(text);
	}
	put_scalar(writer, key, &scalar);
}

void
json_put_time(JsonWriter *writer, const char *key, TimestampTz at)
{
	char	   *text = NULL;

	if (at != 0)
	{
		text = palloc(MAXDATELEN + 1);
		JsonEncodeDateTime(text, TimestampTzGetDatum(at), TIMESTAMPTZOID, NULL);
	}
	json_put_text(writer, key, text);
}

Jsonb *
json_finish(JsonWriter *writer)
{
	return JsonbValueToJsonb(writer->value);
}
