/*
 * api_answer.c
 *	  What a function has returned, as JSON: written from the row at hand, as to_json() would, but without columns
 *	  that only the extension uses, nor those that somebody has added to its tables.
 *
 * How each column of a row is written is found out once for each type of row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "api/api_answer.h"
#include "base/compat.h"
#include "base/row_reader.h"

#define MAX_SHAPES	64			/* that are kept */

PG_FUNCTION_INFO_V1(commerce_api_internal);

static const char *const internal_columns[] = {
	"event_key", "xid", "last_entry", "limited_user_id", "user_limit", "idempotency_key", "own_shipping", "lost",
	"split_quantity", "split_net", "last_event", "month"
};

typedef enum ColumnKind
{
	COLUMN_HIDDEN,
	COLUMN_INT8,
	COLUMN_INT4,
	COLUMN_BOOL,
	COLUMN_TEXT,
	COLUMN_TIME,
	COLUMN_JSONB,
	COLUMN_LABEL,				/* its output is a string */
	COLUMN_OTHER
} ColumnKind;

typedef struct ColumnShape
{
	ColumnKind	kind;
	char	   *prefix;			/* "name": */
	int			prefix_length;
	FmgrInfo	function;		/* of labels the output, of others to_json() */
} ColumnShape;

/* How rows of a type are written. */
typedef struct RowShape
{
	uint64		identifier;		/* of the type with these columns; hash key */
	ColumnShape *columns;		/* NULL: not known yet */
} RowShape;

static HTAB *shapes = NULL;
static MemoryContext shapes_context = NULL;

static bool
is_internal(const char *column)
{
	for (int i = 0; i < (int) lengthof(internal_columns); i++)
		if (strcmp(internal_columns[i], column) == 0)
			return true;
	return false;
}

/*
 * api_internal()
 *
 * The columns that no answer has.
 */
Datum
commerce_api_internal(PG_FUNCTION_ARGS)
{
	Datum		names[lengthof(internal_columns)];

	for (int i = 0; i < (int) lengthof(internal_columns); i++)
		names[i] = CStringGetTextDatum(internal_columns[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(names, lengthof(internal_columns), TEXTOID, -1, false, TYPALIGN_INT));
}

static ColumnKind
kind_of(Oid type)
{
	switch (type)
	{
		case INT8OID:
			return COLUMN_INT8;
		case INT4OID:
			return COLUMN_INT4;
		case BOOLOID:
			return COLUMN_BOOL;
		case TEXTOID:
			return COLUMN_TEXT;
		case TIMESTAMPTZOID:
			return COLUMN_TIME;
		case JSONBOID:
			return COLUMN_JSONB;
		case UUIDOID:
			return COLUMN_LABEL;
		default:
			return get_typtype(type) == TYPTYPE_ENUM ? COLUMN_LABEL : COLUMN_OTHER;
	}
}

/* Finds out how values of a type are written. */
static void
describe_type(ColumnShape *column, Oid type, MemoryContext context)
{
	Oid			output;
	bool		varlena;

	column->kind = kind_of(type);
	if (column->kind == COLUMN_LABEL)
	{
		getTypeOutputInfo(type, &output, &varlena);
		fmgr_info_cxt(output, &column->function, context);
	}
	else if (column->kind == COLUMN_OTHER)
	{
		/* to_json() takes the type of its argument from the expression that calls it */
		Const	   *argument = makeNullConst(type, -1, InvalidOid);

		fmgr_info_cxt(F_TO_JSON, &column->function, context);
		fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSON, JSONOID, list_make1(argument), InvalidOid, InvalidOid,
												 COERCE_EXPLICIT_CALL), &column->function);
	}
}

int
answer_own_columns(Oid type)
{
	/* tables whose rows functions return, and how many columns are commerce's: those of somebody else come after them */
	const struct
	{
		CatalogRelation table;
		int			ncolumns;
	}			own[] = {
		{TABLE_BALANCE_ENTRIES, BALANCE_ENTRIES_COLUMNS},
		{TABLE_COUPON_ISSUES, COUPON_ISSUES_COLUMNS},
		{TABLE_COUPONS, COUPONS_COLUMNS},
		{TABLE_ORDER_ITEMS, ORDER_ITEMS_COLUMNS},
		{TABLE_ORDER_SHEET_ITEMS, ORDER_SHEET_ITEMS_COLUMNS},
		{TABLE_ORDER_SHEETS, ORDER_SHEETS_COLUMNS},
		{TABLE_ORDERS, ORDERS_COLUMNS},
		{TABLE_PAYMENTS, PAYMENTS_COLUMNS},
		{TABLE_PRODUCTS, PRODUCTS_COLUMNS},
		{TABLE_PROMOTIONS, PROMOTIONS_COLUMNS},
		{TABLE_SELLERS, SELLERS_COLUMNS},
		{TABLE_SHIPMENTS, SHIPMENTS_COLUMNS},
		{TABLE_USERS, USERS_COLUMNS}
	};
	Oid			relation = get_typ_typrelid(type);

	for (int i = 0; OidIsValid(relation) && i < (int) lengthof(own); i++)
		if (relation == catalog_relation(own[i].table))
			return own[i].ncolumns;
	return 0;
}

static ColumnShape *
describe_row(TupleDesc desc)
{
	int			nown = answer_own_columns(desc->tdtypeid);
	MemoryContext previous = MemoryContextSwitchTo(shapes_context);
	ColumnShape *columns = palloc0(Max(desc->natts, 1) * sizeof(ColumnShape));

	for (int i = 0; i < (nown ? Min(nown, desc->natts) : desc->natts); i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		StringInfoData prefix;

		if (attribute->attisdropped || is_internal(NameStr(attribute->attname)))
			continue;
		initStringInfo(&prefix);
		escape_json(&prefix, NameStr(attribute->attname));
		appendStringInfoChar(&prefix, ':');
		columns[i].prefix = prefix.data;
		columns[i].prefix_length = prefix.len;
		describe_type(&columns[i], attribute->atttypid, shapes_context);
	}
	MemoryContextSwitchTo(previous);
	return columns;
}

static void
create_shapes(void)
{
	HASHCTL		ctl = {.keysize = sizeof(uint64),.entrysize = sizeof(RowShape)};

	if (shapes_context == NULL)
		shapes_context = AllocSetContextCreate(TopMemoryContext, "commerce answers", ALLOCSET_DEFAULT_SIZES);
	ctl.hcxt = shapes_context;
	shapes = hash_create("commerce answers", MAX_SHAPES, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* How a row is written; a type whose columns have changed has another identifier. */
static const ColumnShape *
shape_of(TupleDesc desc)
{
	uint64		identifier = assign_record_type_identifier(desc->tdtypeid, desc->tdtypmod);
	RowShape   *shape;
	bool		found;

	if (shapes != NULL && hash_get_num_entries(shapes) >= MAX_SHAPES &&
		hash_search(shapes, &identifier, HASH_FIND, NULL) == NULL)
	{
		shapes = NULL;
		MemoryContextReset(shapes_context);
	}
	if (shapes == NULL)
		create_shapes();
	shape = hash_search(shapes, &identifier, HASH_ENTER, &found);
	if (!found)
		shape->columns = NULL;
	if (shape->columns == NULL)
		shape->columns = describe_row(desc);
	return shape->columns;
}

static void
append_int64(StringInfo json, int64 number)
{
	enlargeStringInfo(json, MAXINT8LEN + 1);
	json->len += pg_lltoa(number, json->data + json->len);
}

static void
append_text(StringInfo json, Datum value)
{
	char	   *string = TextDatumGetCString(value);

	escape_json(json, string);
	pfree(string);
}

static void
append_jsonb(StringInfo json, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);

	(void) JsonbToCString(json, &jsonb->root, VARSIZE(jsonb));
}

static void
append_value(StringInfo json, const ColumnShape *column, Datum value)
{
	FmgrInfo   *function = unconstify(FmgrInfo *, &column->function);
	char		time[MAXDATELEN + 1];

	switch (column->kind)
	{
		case COLUMN_INT8:
			append_int64(json, DatumGetInt64(value));
			break;
		case COLUMN_INT4:
			append_int64(json, DatumGetInt32(value));
			break;
		case COLUMN_BOOL:
			appendStringInfoString(json, DatumGetBool(value) ? "true" : "false");
			break;
		case COLUMN_TEXT:
			append_text(json, value);
			break;
		case COLUMN_TIME:
			JsonEncodeDateTime(time, value, TIMESTAMPTZOID, NULL);
			appendStringInfoChar(json, '"');
			appendStringInfoString(json, time);
			appendStringInfoChar(json, '"');
			break;
		case COLUMN_JSONB:
			append_jsonb(json, value);
			break;
		case COLUMN_LABEL:
			escape_json(json, OutputFunctionCall(function, value));
			break;
		case COLUMN_OTHER:
			appendStringInfoString(json, TextDatumGetCString(FunctionCall1(function, value)));
			break;
		case COLUMN_HIDDEN:
			break;
	}
}

/* Appends a row as an object that is not closed yet, without the column numbered skip. */
static void
append_row(StringInfo json, TupleDesc desc, const Datum *values, const bool *nulls, int skip)
{
	const ColumnShape *columns = shape_of(desc);
	char		separator = '{';

	for (int i = 0; i < desc->natts; i++)
	{
		if (columns[i].kind == COLUMN_HIDDEN || i + 1 == skip)
			continue;
		appendStringInfoChar(json, separator);
		separator = ',';
		appendBinaryStringInfo(json, columns[i].prefix, columns[i].prefix_length);
		if (nulls[i])
			appendBinaryStringInfo(json, "null", 4);
		else
			append_value(json, &columns[i], values[i]);
	}
	if (separator == '{')
		appendStringInfoChar(json, '{');
}

/* A composite value with its columns. */
typedef struct OpenRow
{
	TupleDesc	desc;			/* to be released */
	Datum	   *values;
	bool	   *nulls;
} OpenRow;

static OpenRow
open_row(Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	OpenRow		row = {lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header))};
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header),.t_data = header};

	ItemPointerSetInvalid(&tuple.t_self);
	row.values = palloc(row.desc->natts * sizeof(Datum));
	row.nulls = palloc(row.desc->natts * sizeof(bool));
	heap_deform_tuple(&tuple, row.desc, row.values, row.nulls);
	return row;
}

void
answer_append(StringInfo json, const ApiResult *result, const char *name)
{
	ColumnShape column = {0};

	if (result->isnull && name == NULL)
		appendStringInfoString(json, "null");
	else if (name == NULL && type_is_rowtype(result->type))
	{
		OpenRow		row = open_row(result->value);

		append_row(json, row.desc, row.values, row.nulls, 0);
		appendStringInfoChar(json, '}');
		ReleaseTupleDesc(row.desc);
	}
	else if (name == NULL)
		append_jsonb(json, result->value);
	else
	{
		describe_type(&column, result->type, CurrentMemoryContext);
		appendStringInfoChar(json, '{');
		escape_json(json, name);
		appendStringInfoChar(json, ':');
		if (result->isnull)
			appendStringInfoString(json, "null");
		else
			append_value(json, &column, result->value);
		appendStringInfoChar(json, '}');
	}
}

/* Appends the rows of a table that a reader has found, as an array. */
static void
append_rows(StringInfo json, RowReader *reader, int skip)
{
	char		separator = '[';

	while (row_reader_next(reader))
	{
		TupleTableSlot *slot = reader->slot;

		slot_getallattrs(slot);
		appendStringInfoChar(json, separator);
		separator = ',';
		append_row(json, slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull, skip);
		appendStringInfoChar(json, '}');
	}
	if (separator == '[')
		appendStringInfoChar(json, '[');
	appendStringInfoChar(json, ']');
}

void
answer_append_with_lines(StringInfo json, const ApiResult *result)
{
	OpenRow		row = open_row(result->value);
	RowReader	reader;

	append_row(json, row.desc, row.values, row.nulls, 0);
	appendStringInfoString(json, ",\"items\":");
	row_push_snapshot();
	if (answer_is_row_of(result, TABLE_ORDERS))
	{
		int64		order_id = DatumGetInt64(row.values[ORDERS_ID - 1]);

		row_reader_open(&reader, TABLE_ORDER_ITEMS, INDEX_ORDER_ITEMS_ORDER_SEQ_KEY, 1);
		row_reader_seek(&reader, &order_id);
		append_rows(json, &reader, ORDER_ITEMS_ORDER_ID);
	}
	else
	{
		row_reader_open(&reader, TABLE_ORDER_SHEET_ITEMS, INDEX_ORDER_SHEET_ITEMS_PKEY, 1);
		row_reader_seek_uuid(&reader, row.values[ORDER_SHEETS_ID - 1]);
		append_rows(json, &reader, ORDER_SHEET_ITEMS_ORDER_SHEET_ID);
	}
	row_reader_close(&reader);
	PopActiveSnapshot();
	appendStringInfoChar(json, '}');
	ReleaseTupleDesc(row.desc);
}

bool
answer_is_row_of(const ApiResult *result, CatalogRelation table)
{
	return !result->isnull && result->type == get_rel_type_id(catalog_relation(table));
}

/* A value as text. */
static char *
value_text(Oid type, Datum value)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

static char *
jsonb_member(Jsonb *jsonb, const char *member)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(jsonb) ||
		getKeyJsonValueFromContainer(&jsonb->root, member, strlen(member), &value) == NULL)
		return NULL;
	if (value.type == jbvString)
		return pnstrdup(value.val.string.val, value.val.string.len);
	if (value.type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
	return NULL;
}

char *
answer_member(const ApiResult *result, const char *name, const char *member)
{
	char	   *text = NULL;

	if (result->isnull)
		return NULL;
	if (name != NULL)
		return strcmp(name, member) == 0 ? value_text(result->type, result->value) : NULL;
	if (result->type == JSONBOID)
		return jsonb_member(DatumGetJsonbP(result->value), member);
	if (type_is_rowtype(result->type))
	{
		OpenRow		row = open_row(result->value);

		for (int i = 0; i < row.desc->natts && text == NULL; i++)
			if (strcmp(NameStr(TupleDescAttr(row.desc, i)->attname), member) == 0 && !row.nulls[i])
				text = value_text(TupleDescAttr(row.desc, i)->atttypid, row.values[i]);
		ReleaseTupleDesc(row.desc);
	}
	return text;
}
