/*
 * api.c
 *	  The functions of schema commerce_api: one entry point for all of them.
 *
 * Each is described by commerce_private.api_calls.  A call finds out who calls, checks the request, calls
 * the function of schema commerce behind, and wraps its result into {"code", "message", "data"} with
 * status and headers.  Over HTTP PostgreSQL's own errors are rewritten to codes of the table here,
 * because PostgREST has other ideas about their status: caught, copied, flushed and raised anew; nothing
 * is swallowed, so no subtransaction is needed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "api/api_answer.h"
#include "api/api_call.h"
#include "api/api_request.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/request.h"
#include "base/text_limit.h"
#include "escrow/gate.h"
#include "shop/idempotency.h"

#define SUCCESS_MESSAGE		"the request succeeded"
#define SUCCESS_MESSAGE_KO	"요청에 성공했습니다."

PG_FUNCTION_INFO_V1(commerce_api_call);

static int	depth = 0;			/* of calls; a trigger may call while one is under way */

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static void
append_header(StringInfo headers, const char *name, const char *value)
{
	appendStringInfoString(headers, headers->len == 0 ? "[{" : ",{");
	escape_json(headers, name);
	appendStringInfoChar(headers, ':');
	escape_json(headers, value);
	appendStringInfoChar(headers, '}');
}

/* What somebody has asked for already (a pre-request function, say), without its last bracket. */
static void
append_present_headers(StringInfo headers)
{
	const char *present = GetConfigOption("response.headers", true, false);
	const char *end;

	if (present == NULL || (end = strrchr(present, ']')) == NULL || strchr(present, '{') == NULL)
		return;
	appendBinaryStringInfo(headers, present, end - present);
}

/* An argument of the request as text, or NULL. */
static char *
argument_text(const ApiRequest *request, const char *name)
{
	for (int i = 0; i < request->endpoint->nargs; i++)
	{
		const ApiArgument *argument = &request->endpoint->args[i];
		Oid			output;
		bool		varlena;

		if ((request->given & ((uint32) 1 << i)) == 0 ||
			strcmp(argument->name, name) != 0)
			continue;
		getTypeOutputInfo(argument->type, &output, &varlena);
		return OidOutputFunctionCall(output, request->values[i]);
	}
	return NULL;
}

static void
append_percent_encoded(StringInfo url, const char *string)
{
	string = pg_server_to_any(string, strlen(string), PG_UTF8);
	for (; *string != '\0'; string++)
	{
		unsigned char c = (unsigned char) *string;

		if (c < 0x80 && (isalnum(c) || strchr("-._~", c) != NULL))
			appendStringInfoChar(url, c);
		else
			appendStringInfo(url, "%%%02X", c);
	}
}

/* The path that a template with one {key} gives for an answer, or else for its request; or NULL. */
static char *
fill_location(const char *location, const ApiRequest *request, const ApiResult *result)
{
	const char *open = strchr(location, '{');
	const char *close = strchr(location, '}');
	char	   *key = pnstrdup(open + 1, close - open - 1);
	char	   *value = answer_member(result, request->endpoint->result, key);
	StringInfoData url;

	if (value == NULL)
		value = argument_text(request, key);
	if (value == NULL)
		return NULL;
	initStringInfo(&url);
	appendBinaryStringInfo(&url, location, open - location);
	append_percent_encoded(&url, value);
	appendStringInfoString(&url, close + 1);
	return url.data;
}

/* Whether a row was made by this transaction, not by another that was at it at the same time. */
static bool
is_new(const ApiResult *result)
{
	char	   *created_at = answer_member(result, NULL, "created_at");
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());

	return created_at != NULL && strcmp(created_at, DatumGetCString(DirectFunctionCall1(timestamptz_out, now))) == 0;
}

/* The status of a new answer, and where what was made can be read. */
static void
set_status(const ApiRequest *request, const ApiResult *result, StoredAnswer *answer)
{
	/* who signs up a second time makes nothing */
	bool		known = request->endpoint->for_newcomers && (request->caller.user_id != 0 || !is_new(result));
	const char *location = known ? NULL : request->endpoint->location;
	char	   *status;

	answer->status = 200;
	answer->location = location ? fill_location(location, request, result) : NULL;
	if (answer->location == NULL)
		return;
	status = answer_member(result, request->endpoint->result, "status");
	answer->status = status != NULL &&
		(strcmp(status, catalog_label_name(TYPE_ORDER_STATUS, ORDER_STATUS_PENDING_PAYMENT)) == 0 ||
		 strcmp(status, catalog_label_name(TYPE_PAYMENT_STATUS, PAYMENT_STATUS_REQUESTED)) == 0) ? 202 : 201;
}

static text *
envelope(const ApiRequest *request, const ApiResult *result)
{
	StringInfoData body;

	initStringInfo(&body);
	/* room for the header of a text */
	appendStringInfoSpaces(&body, VARHDRSZ);
	appendStringInfoString(&body, "{\"code\":\"SUCCESS\",\"message\":\"");
	appendStringInfoString(&body, request_speaks_korean() ? SUCCESS_MESSAGE_KO : SUCCESS_MESSAGE);
	appendStringInfoString(&body, "\",\"data\":");
	api_append_data(&body, request, result);
	appendStringInfoChar(&body, '}');
	SET_VARSIZE(body.data, body.len);
	return (text *) body.data;
}

/* Status and headers are those of the outermost call. */
static bool
is_outermost_http(void)
{
	return request_is_http() && depth == 1;
}

static bool
find_offset(PlanState *node, void *context)
{
	if (IsA(node, LimitState) && ((LimitState *) node)->offset > 0)
		return true;
	return planstate_tree_walker(node, find_offset, context);
}

/* Whether a statement, or a part of one, returns what a function returns. */
static bool
find_call(PlanState *node, void *context)
{
	ListCell   *lc;

	foreach(lc, node->plan->targetlist)
	{
		Node	   *result = (Node *) lfirst_node(TargetEntry, lc)->expr;

		if (IsA(result, FuncExpr) && ((FuncExpr *) result)->funcid == *(Oid *) context)
			return true;
	}
	return planstate_tree_walker(node, find_call, context);
}

/* Looks for a condition on what a function returns. */
static bool
find_condition(PlanState *node, void *context)
{
	PlanState  *source = IsA(node, CteScanState) ? ((CteScanState *) node)->cteplanstate :
		IsA(node, SubqueryScanState) ? ((SubqueryScanState *) node)->subplan : NULL;

	if (source != NULL && node->qual != NULL && find_call(source, context))
		return true;
	return planstate_tree_walker(node, find_condition, context);
}

/*
 * PostgREST puts a LIMIT around the call, with the request's offset, and a WHERE, with its condition pgrst_scalar, of
 * which no setting tells: all would be done, and the answer thrown away.  (With a limit of 0 nothing is called.)
 */
static void
refuse_filters(Oid function)
{
	PlanState  *statement = ActivePortal != NULL && ActivePortal->queryDesc != NULL ? ActivePortal->queryDesc->planstate : NULL;

	if (statement == NULL || !is_outermost_http())
		return;
	if (find_offset(statement, NULL))
		raise_invalid("offset", "is for views");
	if (find_condition(statement, &function))
		raise_invalid("pgrst_scalar", "is for views");
}

static void
set_response(const StoredAnswer *answer, bool replayed)
{
	StringInfoData headers;

	if (!is_outermost_http())
		return;
	initStringInfo(&headers);
	append_present_headers(&headers);
	append_header(&headers, "Vary", "Accept-Language");
	append_header(&headers, "Access-Control-Expose-Headers", EXPOSED_HEADERS);
	if (replayed)
		append_header(&headers, "Idempotent-Replayed", "true");
	if (answer->location)
		append_header(&headers, "Location", answer->location);
	if (answer->status != 200)
		set_local("response.status", psprintf("%d", answer->status));
	appendStringInfoChar(&headers, ']');
	set_local("response.headers", headers.data);
}

/* The request's Idempotency-Key, or NULL where it has none or the function ignores it. */
static text *
find_key(const ApiRequest *request)
{
	const char *header;
	text	   *key;

	/* of a call that a trigger makes meanwhile it is not */
	if (!request->endpoint->keyed || request->caller.user_id == 0 || !is_outermost_http())
		return NULL;
	header = request_header("idempotency-key");
	if (header == NULL)
		return NULL;
	key = cstring_to_text(header);
	text_check("idempotency_key", PointerGetDatum(key));
	return key;
}

/*
 * A key is its caller's own.  That of a buyer has the scope that functions in SQL have for users, so that a
 * key which was used there is refused here; all else is told apart by who calls.
 */
static const char *
key_scope(const ApiCaller *caller)
{
	const char *kind = caller->role == API_ROLE_ADMIN ? "admin" : caller->role == API_ROLE_SELLER ? "seller" : "user";

	return idempotency_scope(kind, caller->user_id);
}

/* Takes the key until the transaction ends; true when it has its answer already. */
static bool
begin_key(ApiRequest *request, FunctionCallInfo fcinfo, IdempotentCall *call, StoredAnswer *stored)
{
	Jsonb	   *body;

	call->key = request->key;
	if (call->key == NULL)
		return false;
	body = PG_GETARG_JSONB_P(0);
	gate_enter(psprintf("%s()", request->endpoint->name));
	idempotency_init(call, key_scope(&request->caller), request->endpoint->name, request->key,
					 psprintf("REST %s", JsonbToCString(NULL, &body->root, VARSIZE(body))));
	return idempotency_begin_answer(call, stored);
}

/* Whose data an answer to a seller or administrator has in it; 0: nobody's.  A buyer's is about the buyer. */
static int64
person_of(const ApiRequest *request, Datum asked, text *body)
{
	static SqlStatement find_person = {"SELECT commerce_private.api_person($1, $2)", 2, {JSONBOID, TEXTOID}};
	int64		person = 0;

	if (request->caller.role != API_ROLE_BUYER)
		(void) sql_get_int64(&find_person, SQL_ARGS(asked, PointerGetDatum(body)), &person);
	return person;
}

static Datum
answer(FunctionCallInfo fcinfo)
{
	ApiRequest	request = {0};
	IdempotentCall call;
	StoredAnswer stored;
	ApiResult	result;
	bool		replayed;

	request.endpoint = api_endpoint(fcinfo->flinfo->fn_oid);
	if (!request.endpoint->reads)
		PreventCommandIfReadOnly(psprintf("%s()", request.endpoint->name));
	request.caller = api_caller(request.endpoint);
	request.key = find_key(&request);
	api_request_fill(&request, fcinfo);
	replayed = begin_key(&request, fcinfo, &call, &stored);
	if (!replayed)
	{
		api_request_require_own(&request);
		result = api_call(&request);
		/* a function that keeps its keys longer */
		replayed = request.key_given && idempotency_replayed();
		set_status(&request, &result, &stored);
		stored.body = envelope(&request, &result);
		if (request.key != NULL)
			idempotency_end_answer(&call, &stored, person_of(&request, PG_GETARG_DATUM(0), stored.body));
	}
	set_response(&stored, replayed);
	return PointerGetDatum(stored.body);
}

/* Whether an error is to reach PostgREST as it is. */
static bool
is_presentable(int sqlstate)
{
	const char *text = unpack_sql_state(sqlstate);

	/* PGRST: ours; PTnnn: a status somebody chose; 25006: PostgREST makes 405 of it */
	return strncmp(text, "PG", 2) == 0 || strncmp(text, "PT", 2) == 0 ||
		sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION;
}

static ErrorCode
code_of(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_QUERY_CANCELED:
			return ERROR_SERVICE_BUSY;
		case ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE:
		case ERRCODE_INVALID_TEXT_REPRESENTATION:
		case ERRCODE_UNTRANSLATABLE_CHARACTER:
		case ERRCODE_CHARACTER_NOT_IN_REPERTOIRE:
		case ERRCODE_STRING_DATA_RIGHT_TRUNCATION:
		case ERRCODE_INVALID_DATETIME_FORMAT:
		case ERRCODE_DATETIME_VALUE_OUT_OF_RANGE:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_RAISE_EXCEPTION:
			return ERROR_INVALID_REQUEST;
		case ERRCODE_NOT_NULL_VIOLATION:
		case ERRCODE_CHECK_VIOLATION:
		case ERRCODE_FOREIGN_KEY_VIOLATION:
			return ERROR_INVALID_REQUEST;
		case ERRCODE_UNIQUE_VIOLATION:
		case ERRCODE_EXCLUSION_VIOLATION:
			return ERROR_ALREADY_EXISTS;
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return ERROR_FORBIDDEN;
	}
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
			return ERROR_SERVICE_BUSY;
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			return ERROR_INVALID_REQUEST;
	}
	return ERROR_INTERNAL_SERVER_ERROR;
}

/*
 * Raises one of PostgreSQL's errors as one of ours.  What it says is for programmers of the database, but for texts
 * that were written for users (of a DBA's own trigger, of a job that cannot be scheduled) and for names of what a
 * DBA has added to our tables.
 */
pg_noreturn static void
raise_translated(const ErrorData *error)
{
	ErrorCode	code = code_of(error->sqlerrcode);

	switch (error->sqlerrcode)
	{
		case ERRCODE_RAISE_EXCEPTION:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			raise_error(code, D_TEXT("reason", error->message));
		case ERRCODE_NOT_NULL_VIOLATION:
			if (error->column_name)
				raise_invalid(error->column_name, "is missing");
			break;
		case ERRCODE_CHECK_VIOLATION:
		case ERRCODE_FOREIGN_KEY_VIOLATION:
			raise_error(code, D_TEXT("reason", "is against a rule of the shop"),
						D_TEXT_IF(error->constraint_name, "constraint", error->constraint_name));
		case ERRCODE_UNIQUE_VIOLATION:
		case ERRCODE_EXCLUSION_VIOLATION:
			raise_error(code, D_TEXT_IF(error->constraint_name, "constraint", error->constraint_name));
		case ERRCODE_LOCK_NOT_AVAILABLE:
			raise_error(code, D_REASON(REASON_LOCK_TIMEOUT));
		case ERRCODE_QUERY_CANCELED:
			raise_error(code, D_REASON(REASON_STATEMENT_TIMEOUT));
		case ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE:
			raise_error(code, D_TEXT("reason", "has a number that is out of range"));
		case ERRCODE_UNTRANSLATABLE_CHARACTER:
		case ERRCODE_CHARACTER_NOT_IN_REPERTOIRE:
			raise_error(code, D_TEXT("reason", "has a character that cannot be stored"));
		case ERRCODE_STRING_DATA_RIGHT_TRUNCATION:
			raise_error(code, D_TEXT("reason", "has a text that is too long"));
	}
	if (code == ERROR_SERVICE_BUSY)
		raise_error(code, D_REASON(REASON_CONFLICT));
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		raise_error(code, D_TEXT("reason", "is too large"));
	raise_error(code, D_TEXT_IF(code == ERROR_INVALID_REQUEST, "reason", "has a malformed value"));
}

/* Whether the server's log is to say what happened: it is no client's doing, or a rule that we do not know refused it. */
static bool
belongs_in_log(int sqlstate)
{
	return code_of(sqlstate) == ERROR_INTERNAL_SERVER_ERROR ||
		ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION;
}

/* Raises a caught error in the face that the caller needs; context is the memory to do it in. */
static void
raise_anew(MemoryContext context)
{
	const char *parsing = api_request_stop_parsing();
	int			sqlstate = geterrcode();
	ErrorData  *error;

	if (is_presentable(sqlstate))
		PG_RE_THROW();
	if (parsing != NULL && ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION)
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		raise_invalid(parsing, "is malformed");
	}
	if (!request_is_http())
		PG_RE_THROW();

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (belongs_in_log(sqlstate))
	{
		error->elevel = LOG;
		ThrowErrorData(error);
	}
	raise_translated(error);
}

/*
 * Every function of commerce_api: (body jsonb), or named texts when it only reads; returns json.
 */
Datum
commerce_api_call(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	int			outer = depth;
	Datum		result = (Datum) 0;

	PG_TRY();
	{
		depth++;
		refuse_filters(fcinfo->flinfo->fn_oid);
		result = answer(fcinfo);
		depth = outer;
	}
	PG_CATCH();
	{
		depth = outer;
		raise_anew(context);
	}
	PG_END_TRY();
	PG_RETURN_DATUM(result);
}
