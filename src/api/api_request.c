/*
 * api_request.c
 *	  From a request over REST to the arguments of the function behind.
 *
 * PostgREST would answer a missing or surplus key with 404 and a wrong type with PostgreSQL's own code,
 * so functions take one jsonb and check it here, against the signature of the function behind.  null is
 * the same as left out.
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "api/api_request.h"
#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/text_limit.h"

#define MAX_ELEMENTS	1000	/* of any array of a request */

static const char *parsing = NULL;

const char *
api_request_stop_parsing(void)
{
	const char *argument = parsing;

	parsing = NULL;
	return argument;
}

/* Reads a whole number, digits alone with an optional minus sign; answers false for anything else. */
static bool
parse_integer(const char *digits, int64 *number)
{
	char	   *end;

	if (digits[0] != '-' && !isdigit((unsigned char) digits[0]))
		return false;
	errno = 0;
	*number = strtoi64(digits, &end, 10);
	return errno == 0 && *end == '\0';
}

static void
require_int4(const ApiArgument *argument, int64 number)
{
	if (number < INT_MIN || number > INT_MAX)
		raise_invalid(argument->name, "is out of range");
}

/* A value that its type's input function reads; what it does not like is INVALID_REQUEST (api.c). */
static Datum
read_text(const ApiArgument *argument, Oid type, char *string)
{
	Oid			input;
	Oid			parameter;
	Datum		value;
	TimestampTz at;
	DateADT		day;

	if (type == TIMESTAMPTZOID)
	{
		if (!calendar_read_time(string, &at))
			raise_invalid(argument->name, NO_TIME);
		return TimestampTzGetDatum(at);
	}
	if (type == DATEOID)
	{
		if (!calendar_read_day(string, &day))
			raise_invalid(argument->name, NO_DAY);
		return DateADTGetDatum(day);
	}
	if (type == TEXTOID)
	{
		value = CStringGetTextDatum(string);
		text_check(argument->name, value);
		return value;
	}
	if (get_typtype(type) == TYPTYPE_ENUM)
	{
		if (strlen(string) >= NAMEDATALEN ||
			!SearchSysCacheExists2(ENUMTYPOIDNAME, ObjectIdGetDatum(type), CStringGetDatum(string)))
			raise_invalid(argument->name, "cannot be \"%s\"",
						  pnstrdup(string, pg_mbcliplen(string, strlen(string), 64)));
	}
	getTypeInputInfo(type, &input, &parameter);
	parsing = argument->name;
	value = OidInputFunctionCall(input, string, parameter, -1);
	parsing = NULL;
	return value;
}

/* A whole number; drivers hand a bigint over as a string of digits. */
static int64
json_integer(const ApiArgument *argument, const JsonbValue *value)
{
	const char *digits = "";
	int64		number;

	/* 1.0 is a whole number in JSON */
	if (value->type == jbvNumeric)
		digits = DatumGetCString(DirectFunctionCall1(numeric_out,
													 DirectFunctionCall1(numeric_trim_scale,
																		 NumericGetDatum(value->val.numeric))));
	else if (value->type == jbvString)
		digits = pnstrdup(value->val.string.val, value->val.string.len);
	if (!parse_integer(digits, &number))
		raise_invalid(argument->name, "must be a whole number");
	return number;
}

static Datum
json_text(const ApiArgument *argument, Oid type, const JsonbValue *value)
{
	if (value->type != jbvString)
		raise_invalid(argument->name, "must be a string");
	return read_text(argument, type, pnstrdup(value->val.string.val, value->val.string.len));
}

static Datum
json_array(const ApiArgument *argument, const JsonbValue *value)
{
	bool		of_text = (argument->type == TEXTARRAYOID);
	JsonbContainer *container;
	int			n;
	Datum	   *elements;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		raise_invalid(argument->name, "must be an array of %s", of_text ? "strings" : "whole numbers");
	container = value->val.binary.data;
	n = JsonContainerSize(container);
	if (n > MAX_ELEMENTS)
		raise_invalid(argument->name, "must have at most %d elements", MAX_ELEMENTS);
	elements = palloc(Max(n, 1) * sizeof(Datum));
	for (int i = 0; i < n; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(container, i);

		elements[i] = of_text ? json_text(argument, TEXTOID, element) : Int64GetDatum(json_integer(argument, element));
	}
	if (of_text)
		return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
	return PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* A member of the body, not null, as a value of the argument's type. */
static Datum
json_value(const ApiArgument *argument, JsonbValue *value)
{
	int64		number;

	switch (argument->type)
	{
		case INT8OID:
			return Int64GetDatum(json_integer(argument, value));
		case INT4OID:
			number = json_integer(argument, value);
			require_int4(argument, number);
			return Int32GetDatum((int32) number);
		case BOOLOID:
			if (value->type != jbvBool)
				raise_invalid(argument->name, "must be true or false");
			return BoolGetDatum(value->val.boolean);
		case INT8ARRAYOID:
		case TEXTARRAYOID:
			return json_array(argument, value);
		case JSONBOID:
			return JsonbPGetDatum(JsonbValueToJsonb(value));
		default:
			return json_text(argument, argument->type, value);
	}
}

/* An argument of the query string. */
static Datum
text_value(const ApiArgument *argument, char *string)
{
	int64		number;

	if (argument->type != INT8OID && argument->type != INT4OID)
		return read_text(argument, argument->type, string);
	if (!parse_integer(string, &number))
		raise_invalid(argument->name, "must be a whole number");
	if (argument->type == INT8OID)
		return Int64GetDatum(number);
	require_int4(argument, number);
	return Int32GetDatum((int32) number);
}

static void
give(ApiRequest *request, int argument, Datum value)
{
	request->values[argument] = value;
	request->given |= (uint32) 1 << argument;
}

static bool
is_given(const ApiRequest *request, int argument)
{
	return (request->given & ((uint32) 1 << argument)) != 0;
}

/* Whether the request is to say it. */
static bool
is_asked(const ApiRequest *request, const ApiArgument *argument)
{
	switch (argument->source)
	{
		case API_FROM_OWNER:
			return request->caller.role == API_ROLE_ADMIN;
		case API_FROM_SELLER:
			return request->caller.role != API_ROLE_SELLER;
		default:
			return argument->asked;
	}
}

static void
fill_from_body(ApiRequest *request, Jsonb *body)
{
	const ApiEndpoint *endpoint = request->endpoint;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	if (body == NULL || !JB_ROOT_IS_OBJECT(body))
		raise_invalid("body", "must be a JSON object");
	iterator = JsonbIteratorInit(&body->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		char	   *name;
		int			i;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		name = pnstrdup(key.val.string.val, key.val.string.len);
		for (i = 0; i < endpoint->nargs; i++)
			if (is_asked(request, &endpoint->args[i]) && strcmp(endpoint->args[i].name, name) == 0)
				break;
		if (i == endpoint->nargs)
			raise_invalid(pnstrdup(name, pg_mbcliplen(name, strlen(name), 64)), "is not known");
		if (value.type != jbvNull)
			give(request, i, json_value(&endpoint->args[i], &value));
	}
}

/* Of a reading function: its arguments are those that a request is to say, in their order. */
static void
fill_from_query(ApiRequest *request, FunctionCallInfo fcinfo)
{
	const ApiEndpoint *endpoint = request->endpoint;
	int			next = 0;

	for (int i = 0; i < endpoint->nargs; i++)
	{
		if (!endpoint->args[i].asked)
			continue;
		if (!PG_ARGISNULL(next))
		{
			if (!is_asked(request, &endpoint->args[i]))
				raise_invalid(endpoint->args[i].name, "is not known");
			give(request, i, text_value(&endpoint->args[i], text_to_cstring(PG_GETARG_TEXT_PP(next))));
		}
		next++;
	}
}

static ActorKind
actor_kind_of(ApiRole role)
{
	switch (role)
	{
		case API_ROLE_BUYER:
			return ACTOR_KIND_BUYER;
		case API_ROLE_SELLER:
			return ACTOR_KIND_SELLER;
		case API_ROLE_ADMIN:
			return ACTOR_KIND_ADMIN;
		case API_ROLE_ANONYMOUS:
			break;
	}
	elog(ERROR, "an anonymous caller is no actor");
}

static void
fill_from_caller(ApiRequest *request)
{
	const ApiEndpoint *endpoint = request->endpoint;
	const ApiCaller *caller = &request->caller;
	int64		actor_id = caller->role == API_ROLE_SELLER ? caller->seller_id : caller->user_id;

	for (int i = 0; i < endpoint->nargs; i++)
	{
		const ApiArgument *argument = &endpoint->args[i];

		switch (argument->source)
		{
			case API_FROM_USER:
				give(request, i, Int64GetDatum(caller->user_id));
				break;
			case API_FROM_KEY:
				request->key_given = (request->key != NULL);
				if (request->key_given)
					give(request, i, PointerGetDatum(request->key));
				break;
			case API_FROM_ACTOR:
				give(request, i, catalog_label(TYPE_ACTOR_KIND, actor_kind_of(caller->role)));
				break;
			case API_FROM_ACTOR_ID:
				give(request, i, Int64GetDatum(actor_id));
				break;
			case API_FROM_OWNER:
				if (caller->role != API_ROLE_ADMIN)
					give(request, i, Int64GetDatum(caller->user_id));
				break;
			case API_FROM_SELLER:
				if (caller->role == API_ROLE_SELLER)
					give(request, i, Int64GetDatum(caller->seller_id));
				break;
			case API_FROM_SUBJECT:
				give(request, i, CStringGetTextDatum(caller->subject));
				text_check(argument->name, request->values[i]);
				break;
			case API_FROM_BODY:
				break;
		}
	}
}

/* Whether an argument names a thing that must belong to a caller of that role. */
static bool
names_own_thing(const char *argument, ApiRole role)
{
	static const char *const buyers[] = {"order_id", "order_sheet_id", NULL};
	static const char *const sellers[] = {"product_id", "promotion_id", "coupon_id", "coupon_issue_id", "shipment_id", NULL};
	const char *const *things;

	if (role != API_ROLE_BUYER && role != API_ROLE_SELLER)
		return false;
	for (things = role == API_ROLE_BUYER ? buyers : sellers; *things != NULL; things++)
		if (strcmp(argument, *things) == 0)
			return true;
	return false;
}

static void
require_own(ApiRequest *request, int argument)
{
	static SqlStatement check = {
		"SELECT commerce_private.api_require_own($1, $2, $3, $4)", 4, {TEXTOID, TEXTOID, INT8OID, INT8OID}
	};
	const ApiArgument *named = &request->endpoint->args[argument];
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(named->type, &output, &varlena);
	sql_do(&check, SQL_ARGS(CStringGetTextDatum(named->name),
							CStringGetTextDatum(OidOutputFunctionCall(output, request->values[argument])),
							Int64GetDatum(request->caller.user_id),
							Int64GetDatum(request->caller.seller_id)));
}

void
api_request_fill(ApiRequest *request, FunctionCallInfo fcinfo)
{
	const ApiEndpoint *endpoint = request->endpoint;

	request->values = palloc0(Max(endpoint->nargs, 1) * sizeof(Datum));
	if (endpoint->reads)
		fill_from_query(request, fcinfo);
	else
		fill_from_body(request, PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0));
	fill_from_caller(request);

	for (int i = 0; i < endpoint->nargs; i++)
	{
		const ApiArgument *argument = &endpoint->args[i];

		if (argument->required && !is_given(request, i))
			raise_invalid(argument->name, "is missing");
	}
}

void
api_request_require_own(ApiRequest *request)
{
	const ApiEndpoint *endpoint = request->endpoint;

	for (int i = 0; i < endpoint->nargs; i++)
	{
		const ApiArgument *argument = &endpoint->args[i];

		if (is_given(request, i) && !endpoint->judges_actor && argument->source == API_FROM_BODY &&
			names_own_thing(argument->name, request->caller.role))
			require_own(request, i);
	}
}
