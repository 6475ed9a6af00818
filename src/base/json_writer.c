/*
 * json_writer.c
 *	  Building jsonb values member by member.
 *
 * Values are written in jsonb's own form (utils/jsonb.h) as they are closed, not by way of JsonbValues, which costs some
 * six times as much: an order's events have four hundred members.  A container that is closed is a piece of bytes, which
 * its parent, and every event that has it too, takes as it is.
 *
 * jsonb has an object's keys sorted, the shorter first, before all values.  Objects of one kind have the same keys in
 * the same order, which are string constants: how they are sorted, and all that is written of them, is kept for the
 * backend's life and found by the keys' addresses.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "base/calendar.h"
#include "base/compat.h"
#include "base/json_writer.h"

#define FIRST_CAPACITY	32
#define KEPT_SHAPES		128
#define SMALL_NUMBERS	256		/* whose numeric value is kept */

typedef struct Member
{
	const char *key;			/* NULL: of an array */
	JEntry		type;
	uint32		length;			/* of data, in bytes */
	const void *data;
} Member;

/* A container that is open. */
struct JsonLevel
{
	JsonLevel  *parent;
	const char *key;			/* of the container in its parent, or NULL */
	bool		is_object;
	int			n;
	int			capacity;
	Member	   *members;
};

/* What is known of the objects that have these keys in this order. */
typedef struct Shape
{
	int			n;
	const char **keys;
	int		   *order;			/* the members' places, sorted */
	JEntry	   *entries;		/* of the sorted keys */
	char	   *bytes;			/* of the keys themselves */
	uint32		length;
} Shape;

static Shape *kept_shapes[KEPT_SHAPES];
static Numeric small_numbers[SMALL_NUMBERS];

/* A key to be sorted: what is compared is at hand, and little is moved. */
typedef struct Place
{
	uint64		prefix;			/* the key's length and first bytes, as one number that sorts as they do */
	const char *key;
	int			length;
	int			member;
} Place;

static Place
make_place(const char *key, int member)
{
	Place		place = {.key = key, .length = strlen(key), .member = member};

	place.prefix = (uint64) Min(place.length, 255) << 56;
	for (int i = 0; i < Min(place.length, 7); i++)
		place.prefix |= (uint64) (unsigned char) key[i] << (48 - 8 * i);
	return place;
}

/* The order in which jsonb keeps keys: the shorter first. */
static int
compare_places(const Place *a, const Place *b)
{
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	if (a->length != b->length)
		return a->length < b->length ? -1 : 1;
	return memcmp(a->key, b->key, a->length);
}

#define ST_SORT			sort_places
#define ST_ELEMENT_TYPE Place
#define ST_COMPARE(a, b) compare_places(a, b)
#define ST_SCOPE		static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * The entry of a value that ends so many bytes after the first value's begin: it says its length, or, of some elements of
 * an array, that.  PostgreSQL has it of some members of an object, too; but objects have few, and lengths compress better.
 */
static JEntry
make_entry(bool is_element, int index, JEntry type, Size length, Size end)
{
	if (end > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a JSON value is too large")));
	return is_element && index % JB_OFFSET_STRIDE == 0 ? type | JENTRY_HAS_OFF | (JEntry) end : type | (JEntry) length;
}

/* In the current memory context. */
static Shape *
make_shape(const JsonLevel *level)
{
	int			n = level->n;
	Place	   *places = palloc(n * sizeof(Place));
	Shape	   *shape = palloc(sizeof(Shape));
	Size		size = 0;
	Size		end = 0;

	shape->n = n;
	shape->keys = palloc(n * sizeof(char *));
	shape->order = palloc(n * sizeof(int));
	shape->entries = palloc(n * sizeof(JEntry));
	for (int i = 0; i < n; i++)
	{
		shape->keys[i] = level->members[i].key;
		places[i] = make_place(shape->keys[i], i);
		size += places[i].length;
	}
	sort_places(places, n);
	shape->bytes = palloc(size);
	for (int i = 0; i < n; i++)
	{
		shape->order[i] = places[i].member;
		memcpy(shape->bytes + end, places[i].key, places[i].length);
		end += places[i].length;
		shape->entries[i] = make_entry(false, i, JENTRY_ISSTRING, places[i].length, end);
	}
	shape->length = end;
	pfree(places);
	return shape;
}

static bool
has_shape(const JsonLevel *level, const Shape *shape)
{
	if (shape == NULL || shape->n != level->n)
		return false;
	for (int i = 0; i < level->n; i++)
		if (shape->keys[i] != level->members[i].key)
			return false;
	return true;
}

static void
free_shape(Shape *shape)
{
	pfree(shape->keys);
	pfree(shape->order);
	pfree(shape->entries);
	pfree(shape->bytes);
	pfree(shape);
}

static const Shape *
find_shape(const JsonWriter *writer, const JsonLevel *level)
{
	Shape	  **kept;
	MemoryContext caller;
	Shape	   *former;

	if (writer->keys_vary || level->n == 0)
		return make_shape(level);
	kept = &kept_shapes[hash_bytes_uint32((uint32) (uintptr_t) level->members[0].key ^
										  (uint32) (uintptr_t) level->members[level->n - 1].key * 31 ^
										  level->n) % KEPT_SHAPES];
	if (has_shape(level, *kept))
		return *kept;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	former = *kept;
	*kept = make_shape(level);
	MemoryContextSwitchTo(caller);
	if (former)
		free_shape(former);
	return *kept;
}

static void
put_value(JsonWriter *writer, const char *key, JEntry type, const void *data, Size length)
{
	JsonLevel  *level = writer->level;

	if (level->n == level->capacity)
	{
		level->capacity *= 2;
		level->members = repalloc(level->members, level->capacity * sizeof(Member));
	}
	level->members[level->n++] = (Member) {key, type, length, data};
}

static void
open_level(JsonWriter *writer, const char *key, bool is_object)
{
	JsonLevel  *level = palloc(sizeof(JsonLevel));

	level->parent = writer->level;
	level->key = key;
	level->is_object = is_object;
	level->n = 0;
	level->capacity = FIRST_CAPACITY;
	level->members = palloc(FIRST_CAPACITY * sizeof(Member));
	writer->level = level;
}

/* Whether a value begins at a multiple of 4 bytes; what is left free before it counts as part of it. */
static inline bool
is_aligned(JEntry type)
{
	return type == JENTRY_ISNUMERIC || type == JENTRY_ISCONTAINER;
}

/* memcpy(), which costs more by its call than by the few bytes that most values have. */
static inline void
copy_value(char *to, const char *from, uint32 length)
{
	if (length > sizeof(uint64))
		memcpy(to, from, length);
	else if (length >= sizeof(uint32))
	{
		memcpy(to, from, sizeof(uint32));
		memcpy(to + length - sizeof(uint32), from + length - sizeof(uint32), sizeof(uint32));
	}
	else
		for (uint32 i = 0; i < length; i++)
			to[i] = from[i];
}

/* Writes an open container as a jsonb value. */
static Jsonb *
write_level(const JsonWriter *writer, const JsonLevel *level)
{
	int			n = level->n;
	const Shape *shape = level->is_object ? find_shape(writer, level) : NULL;
	int			nkeys = shape ? n : 0;
	Size		size = offsetof(Jsonb, root.children) + (n + nkeys) * sizeof(JEntry) + (shape ? shape->length : 0);
	Jsonb	   *jsonb;
	JEntry	   *entries;
	char	   *first;
	char	   *end;

	for (int i = 0; i < n; i++)
		size += level->members[i].length + (sizeof(JEntry) - 1);
	jsonb = palloc(size);
	jsonb->root.header = n | (shape ? JB_FOBJECT : JB_FARRAY);
	entries = jsonb->root.children;
	end = first = (char *) (entries + n + nkeys);
	if (shape)
	{
		memcpy(entries, shape->entries, n * sizeof(JEntry));
		memcpy(first, shape->bytes, shape->length);
		end += shape->length;
	}
	for (int i = 0; i < n; i++)
	{
		const Member *member = &level->members[shape ? shape->order[i] : i];
		char	   *begin = end;

		if (is_aligned(member->type))
		{
			memset(end, 0, sizeof(JEntry));
			end += (first - end) & (sizeof(JEntry) - 1);
		}
		copy_value(end, member->data, member->length);
		end += member->length;
		entries[nkeys + i] = make_entry(!shape, nkeys + i, member->type, end - begin, end - first);
	}
	SET_VARSIZE(jsonb, end - (char *) jsonb);
	return jsonb;
}

static void
put_container(JsonWriter *writer, const char *key, const Jsonb *jsonb)
{
	put_value(writer, key, JENTRY_ISCONTAINER, &jsonb->root, VARSIZE(jsonb) - VARHDRSZ);
}

static void
close_level(JsonWriter *writer)
{
	JsonLevel  *level = writer->level;
	Jsonb	   *jsonb = write_level(writer, level);

	writer->level = level->parent;
	if (writer->level)
		put_container(writer, level->key, jsonb);
	else
		writer->value = jsonb;
	pfree(level->members);
	pfree(level);
}

void
json_open_object(JsonWriter *writer, const char *key)
{
	open_level(writer, key, true);
}

void
json_close_object(JsonWriter *writer)
{
	close_level(writer);
}

void
json_open_array(JsonWriter *writer, const char *key)
{
	open_level(writer, key, false);
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
	const JsonLevel *object = writer->level;

	Assert(object->parent == NULL);
	json_open_object(&fork, NULL);
	for (int i = 0; i < object->n; i++)
	{
		const Member *member = &object->members[i];

		put_value(&fork, member->key, member->type, member->data, member->length);
	}
	return fork;
}

static void
put_numeric(JsonWriter *writer, const char *key, Numeric number)
{
	put_value(writer, key, JENTRY_ISNUMERIC, number, VARSIZE_ANY(number));
}

static void
put_string(JsonWriter *writer, const char *key, const char *string, Size length)
{
	put_value(writer, key, JENTRY_ISSTRING, string, length);
}

/* Most numbers of an event are small, many are 0. */
static Numeric
small_number(int64 number)
{
	if (small_numbers[number] == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

		small_numbers[number] = int64_to_numeric(number);
		MemoryContextSwitchTo(caller);
	}
	return small_numbers[number];
}

void
json_put_int(JsonWriter *writer, const char *key, int64 number)
{
	put_numeric(writer, key, number >= 0 && number < SMALL_NUMBERS ? small_number(number) : int64_to_numeric(number));
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
	if (text == NULL)
		put_value(writer, key, JENTRY_ISNULL, "", 0);
	else
		put_string(writer, key, text, strlen(text));
}

void
json_put_bool(JsonWriter *writer, const char *key, bool value)
{
	put_value(writer, key, value ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE, "", 0);
}

/* Puts a value that was found in a jsonb value. */
static void
put_found(JsonWriter *writer, const char *key, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			json_put_text(writer, key, NULL);
			break;
		case jbvString:
			put_string(writer, key, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			put_numeric(writer, key, value->val.numeric);
			break;
		case jbvBool:
			json_put_bool(writer, key, value->val.boolean);
			break;
		case jbvBinary:
			put_value(writer, key, JENTRY_ISCONTAINER, value->val.binary.data, value->val.binary.len);
			break;
		default:
			elog(ERROR, "unexpected type of jsonb value: %d", (int) value->type);
	}
}

void
json_put_jsonb(JsonWriter *writer, const char *key, Jsonb *jsonb)
{
	JsonbValue	scalar;

	if (jsonb == NULL)
		json_put_text(writer, key, NULL);
	else if (JsonbExtractScalar(&jsonb->root, &scalar))
		put_found(writer, key, &scalar);
	else
		put_container(writer, key, jsonb);
}

void
json_put_time(JsonWriter *writer, const char *key, TimestampTz at)
{
	json_put_text(writer, key, at == 0 ? NULL : calendar_time_text(at));
}

Jsonb *
json_finish(JsonWriter *writer)
{
	return writer->value;
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
		put_found(writer, key, other_column(row, key));
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
json_of_row(Datum row, int ncolumns, const char *const *without)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	JsonWriter	json = {.keys_vary = true};
	Jsonb	   *result;

	heap_deform_tuple(&tuple, desc, values, nulls);
	json_open_object(&json, NULL);
	for (int i = 0; i < (ncolumns ? Min(ncolumns, desc->natts) : desc->natts); i++)
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
