/*
 * json_writer.c
 *	  Building jsonb values member by member.
 *
 * The tree is built directly in the form that jsonb is made of: an order's event has a hundred members,
 * and pushing each through jsonb's parser state (pushJsonbValue) costs more than all the rest of the value:
 * 3 % of the instructions of an order of two lines, and a larger share of one with more.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "base/calendar.h"
#include "base/compat.h"
#include "base/json_writer.h"

#define FIRST_CAPACITY	16

/* A container that is open. */
struct JsonLevel
{
	JsonLevel  *parent;
	const char *key;			/* of the container in its parent, or NULL */
	int			capacity;
	JsonbValue	value;
};

static void
set_string(JsonbValue *value, const char *string)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, string);
	value->val.string.len = strlen(string);
}

static void
put_value(JsonWriter *writer, const char *key, const JsonbValue *value)
{
	JsonLevel  *level = writer->level;
	JsonbValue *container = &level->value;

	if (container->type == jbvArray)
	{
		if (container->val.array.nElems == level->capacity)
		{
			level->capacity *= 2;
			container->val.array.elems = repalloc(container->val.array.elems, level->capacity * sizeof(JsonbValue));
		}
		container->val.array.elems[container->val.array.nElems++] = *value;
	}
	else
	{
		JsonbPair  *pair;

		if (container->val.object.nPairs == level->capacity)
		{
			level->capacity *= 2;
			container->val.object.pairs = repalloc(container->val.object.pairs, level->capacity * sizeof(JsonbPair));
		}
		pair = &container->val.object.pairs[container->val.object.nPairs++];
		set_string(&pair->key, key);
		pair->value = *value;
	}
}

static JsonbValue *
open_level(JsonWriter *writer, const char *key, enum jbvType type)
{
	JsonLevel  *level = palloc0(sizeof(JsonLevel));

	level->parent = writer->level;
	level->key = key;
	level->capacity = FIRST_CAPACITY;
	level->value.type = type;
	writer->level = level;
	return &level->value;
}

static void
close_level(JsonWriter *writer)
{
	JsonLevel  *level = writer->level;

	writer->level = level->parent;
	if (writer->level)
		put_value(writer, level->key, &level->value);
	else
		writer->value = &level->value;
}

/* A pair to be sorted: what is compared is at hand, and little is moved. */
typedef struct Place
{
	uint64		prefix;			/* the key's length and first bytes, as one number that sorts as they do */
	const JsonbPair *pair;
} Place;

static uint64
key_prefix(const JsonbValue *key)
{
	uint64		prefix = (uint64) Min(key->val.string.len, 255) << 56;

	for (int i = 0; i < Min(key->val.string.len, 7); i++)
		prefix |= (uint64) (unsigned char) key->val.string.val[i] << (48 - 8 * i);
	return prefix;
}

/* The order in which jsonb keeps keys: the shorter first. */
static int
compare_places(const Place *a, const Place *b)
{
	const JsonbValue *ka = &a->pair->key;
	const JsonbValue *kb = &b->pair->key;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	if (ka->val.string.len != kb->val.string.len)
		return ka->val.string.len < kb->val.string.len ? -1 : 1;
	return memcmp(ka->val.string.val, kb->val.string.val, ka->val.string.len);
}

#define ST_SORT			sort_places
#define ST_ELEMENT_TYPE Place
#define ST_COMPARE(a, b) compare_places(a, b)
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Sorts an object's pairs; the generic qsort() of pairs would cost a tenth of an order. */
static void
sort_pairs(JsonbValue *object)
{
	int			n = object->val.object.nPairs;
	Place	   *places = palloc(n * sizeof(Place));
	JsonbPair  *sorted = palloc(n * sizeof(JsonbPair));

	for (int i = 0; i < n; i++)
		places[i] = (Place) {key_prefix(&object->val.object.pairs[i].key), &object->val.object.pairs[i]};
	sort_places(places, n);
	for (int i = 0; i < n; i++)
		sorted[i] = *places[i].pair;
	pfree(places);
	pfree(object->val.object.pairs);
	object->val.object.pairs = sorted;
}

void
json_open_object(JsonWriter *writer, const char *key)
{
	open_level(writer, key, jbvObject)->val.object.pairs = palloc(FIRST_CAPACITY * sizeof(JsonbPair));
}

void
json_close_object(JsonWriter *writer)
{
	sort_pairs(&writer->level->value);
	close_level(writer);
}

void
json_open_array(JsonWriter *writer, const char *key)
{
	open_level(writer, key, jbvArray)->val.array.elems = palloc(FIRST_CAPACITY * sizeof(JsonbValue));
}

void
json_close_array(JsonWriter *writer)
{
	close_level(writer);
}

JsonWriter
json_fork(const JsonWriter *writer)
{
	JsonWriter	fork = {0};
	const JsonbValue *object = &writer->level->value;

	Assert(writer->level->parent == NULL);
	json_open_object(&fork, NULL);
	for (int i = 0; i < object->val.object.nPairs; i++)
	{
		const JsonbPair *pair = &object->val.object.pairs[i];

		put_value(&fork, pair->key.val.string.val, &pair->value);
	}
	return fork;
}

void
json_put_int(JsonWriter *writer, const char *key, int64 number)
{
	JsonbValue	scalar;

	scalar.type = jbvNumeric;
	scalar.val.numeric = int64_to_numeric(number);
	put_value(writer, key, &scalar);
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
		set_string(&scalar, text);
	put_value(writer, key, &scalar);
}

void
json_put_bool(JsonWriter *writer, const char *key, bool value)
{
	JsonbValue	scalar;

	scalar.type = jbvBool;
	scalar.val.boolean = value;
	put_value(writer, key, &scalar);
}

void
json_put_jsonb(JsonWriter *writer, const char *key, Jsonb *jsonb)
{
	JsonbParseState *state = NULL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue *tree = NULL;

	if (jsonb == NULL)
	{
		json_put_text(writer, key, NULL);
		return;
	}
	iterator = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
		tree = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
	put_value(writer, key, tree);
}

void
json_put_time(JsonWriter *writer, const char *key, TimestampTz at)
{
	json_put_text(writer, key, at == 0 ? NULL : calendar_time_text(at));
}

Jsonb *
json_finish(JsonWriter *writer)
{
	return JsonbValueToJsonb(writer->value);
}

/* The value of a column of a type that is left to PostgreSQL. */
static JsonbValue *
other_column(Datum row, const char *name)
{
	char	   *json = TextDatumGetCString(DirectFunctionCall1(row_to_json, row));
	Jsonb	   *whole = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));

	return getKeyJsonValueFromContainer(&whole->root, name, strlen(name), NULL);
}

/* Puts a column of a row, which is not null. */
static void
put_column(JsonWriter *writer, Datum row, Form_pg_attribute column, Datum value)
{
	const char *key = NameStr(column->attname);

	if (column->atttypid == INT8OID)
		json_put_int(writer, key, DatumGetInt64(value));
	else if (column->atttypid == INT4OID)
		json_put_int(writer, key, DatumGetInt32(value));
	else if (column->atttypid == BOOLOID)
		json_put_bool(writer, key, DatumGetBool(value));
	else if (column->atttypid == TEXTOID)
		json_put_text(writer, key, TextDatumGetCString(value));
	else if (column->atttypid == TIMESTAMPTZOID)
		json_put_text(writer, key, calendar_time_text(DatumGetTimestampTz(value)));
	else if (column->atttypid == JSONBOID)
		json_put_jsonb(writer, key, DatumGetJsonbP(value));
	else if (type_is_enum(column->atttypid))
		json_put_text(writer, key, DatumGetCString(DirectFunctionCall1(enum_out, value)));
	else
		put_value(writer, key, other_column(row, key));
}

static bool
is_listed(const char *name, const char *const *list)
{
	for (; list && *list; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

Jsonb *
json_of_row(Datum row, const char *const *without)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	JsonWriter	json = {0};
	Jsonb	   *result;

	heap_deform_tuple(&tuple, desc, values, nulls);
	json_open_object(&json, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || is_listed(NameStr(column->attname), without))
			continue;
		if (nulls[i])
			json_put_text(&json, NameStr(column->attname), NULL);
		else
			put_column(&json, row, column, values[i]);
	}
	json_close_object(&json);
	result = json_finish(&json);
	ReleaseTupleDesc(desc);
	return result;
}
