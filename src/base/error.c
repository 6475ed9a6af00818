/*
 * error.c
 *	  One place decides how an error looks to its caller.
 *
 * In SQL an error carries the SQLSTATE of the table in error_codes.h and a message, detail and hint.
 * Over HTTP (PostgREST sets request.method) it has SQLSTATE PGRST, by which PostgREST takes the
 * response's status, headers and body from the message and the detail.  Whoever raises an error does
 * not know which.
 */
#include "postgres.h"

#include <stdarg.h>

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/refusals.h"
#include "base/request.h"

#define ERRCODE_POSTGREST	MAKE_SQLSTATE('P', 'G', 'R', 'S', 'T')

typedef struct ErrorInfo
{
	const char *name;
	int			http_status;
	const char *sqlstate;
	const char *message;
	const char *message_ko;
	const char *keys;			/* of the detail, separated by spaces */
} ErrorInfo;

static const ErrorInfo error_table[] = {
#define ERROR_CODE(code, status, sqlstate, en, ko, keys) {#code, status, sqlstate, en, ko, keys},
#include "base/error_codes.h"
#undef ERROR_CODE
};

/* A sentence in both languages. */
typedef struct ErrorText
{
	const char *word;			/* NULL: it is a hint as such */
	const char *english;
	const char *korean;
} ErrorText;

static const ErrorText error_texts[] = {
#define ERROR_REASON(word, en, ko) {#word, en, ko},
#define ERROR_HINT(en, ko) {NULL, en, ko},
#include "base/error_reasons.h"
#undef ERROR_REASON
#undef ERROR_HINT
};

int			error_language = LANGUAGE_ENGLISH;

PG_FUNCTION_INFO_V1(commerce_error_codes);
PG_FUNCTION_INFO_V1(commerce_error_texts);
PG_FUNCTION_INFO_V1(commerce_raise_error);

/* The weight of a language range such as "ko-KR; q=0.9" (RFC 9110), 1 when it has none. */
static double
range_weight(const char *range)
{
	for (const char *parameter = range; (parameter = strchr(parameter, ';')) != NULL;)
	{
		parameter++;
		parameter += strspn(parameter, " \t");
		if (pg_strncasecmp(parameter, "q=", 2) == 0)
			return strtod(parameter + 2, NULL);
	}
	return 1.0;
}

/*
 * The language to speak: that of the request's Accept-Language with the highest weight of those we
 * know; without a request, or when it names none, commerce.language.
 */
static bool
speaks_korean(bool http)
{
	const char *accepted = http ? request_header("accept-language") : NULL;
	double		best = 0;
	bool		korean = (error_language == LANGUAGE_KOREAN);
	char	   *range;
	char	   *rest = accepted ? pstrdup(accepted) : NULL;

	/* message texts are kept in UTF-8 */
	if (GetDatabaseEncoding() != PG_UTF8)
		return false;
	while (rest != NULL && (range = strsep(&rest, ",")) != NULL)
	{
		double		q = range_weight(range);
		bool		is_korean;

		range += strspn(range, " \t");
		is_korean = pg_strncasecmp(range, "ko", 2) == 0;
		if (!is_korean && pg_strncasecmp(range, "en", 2) != 0)
			continue;
		if (isalpha((unsigned char) range[2]))
			continue;			/* another language that begins alike */
		if (q > best)
		{
			best = q;
			korean = is_korean;
		}
	}
	return korean;
}

bool
request_speaks_korean(void)
{
	return speaks_korean(request_is_http());
}

static void
append_json_pair(StringInfo json, const char *name, const char *value)
{
	appendStringInfoChar(json, json->len == 0 ? '{' : ',');
	escape_json(json, name);
	appendStringInfoChar(json, ':');
	if (value)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
}

/* The headers an error's response carries besides the usual, as a JSON object. */
static const char *
error_headers(ErrorCode code)
{
#define HEADERS(more) "{" more "\"Vary\":\"Accept-Language\",\"Access-Control-Expose-Headers\":\"" EXPOSED_HEADERS "\"}"
	switch (code)
	{
		case ERROR_UNAUTHENTICATED:
			return HEADERS("\"WWW-Authenticate\":\"Bearer\",");
		case ERROR_SERVICE_BUSY:
			return HEADERS("\"Retry-After\":\"1\",");
		default:
			return HEADERS("");
	}
#undef HEADERS
}

const char *
error_reason_word(ErrorReason reason)
{
	Assert(reason < REASON_NONE);
	/* reasons come first, in their order */
	return error_texts[reason].word;
}

/* The sentence to tell: a hint, or else that of a reason; NULL when there is neither. */
static const char *
find_sentence(const char *reason, const char *hint, bool korean)
{
	if (reason == NULL && hint == NULL)
		return NULL;
	for (int i = 0; i < (int) lengthof(error_texts); i++)
	{
		const ErrorText *text = &error_texts[i];

		if (hint ? strcmp(text->english, hint) == 0 : text->word != NULL && strcmp(text->word, reason) == 0)
			return korean ? text->korean : text->english;
	}
	elog(ERROR, "error_reasons.h does not have \"%s\"", hint ? hint : reason);
}

/* Raises an error with a ready detail (a JSON object), the reason that is in it, and hint, each of which may be NULL. */
pg_noreturn static void
raise(ErrorCode code, const char *detail, const char *reason, const char *hint)
{
	const ErrorInfo *info = &error_table[code];
	bool		http = request_is_http();
	bool		korean = speaks_korean(http);
	const char *message = korean ? info->message_ko : info->message;
	StringInfoData body;

	refusals_count(code);

	/* why a request is invalid is told to its programmer */
	hint = find_sentence(code == ERROR_INVALID_REQUEST ? NULL : reason, hint, korean);

	if (!http)
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE(info->sqlstate[0], info->sqlstate[1], info->sqlstate[2],
									   info->sqlstate[3], info->sqlstate[4])),
				 errmsg_internal("%s", message),
				 detail ? errdetail_internal("%s", detail) : 0,
				 hint ? errhint("%s", hint) : 0));

	initStringInfo(&body);
	append_json_pair(&body, "code", info->name);
	append_json_pair(&body, "message", message);
	append_json_pair(&body, "details", detail);
	append_json_pair(&body, "hint", hint);
	appendStringInfoChar(&body, '}');
	ereport(ERROR,
			(errcode(ERRCODE_POSTGREST),
			 errmsg_internal("%s", body.data),
			 errdetail_internal("{\"status\":%d,\"headers\":%s}", info->http_status, error_headers(code))));
}

/* The table of errors promises which keys a detail may have. */
static void
check_key(const ErrorInfo *info, const char *key, size_t length)
{
	for (const char *listed = info->keys; (listed = strstr(listed, key)) != NULL; listed++)
		if ((listed == info->keys || listed[-1] == ' ') && (listed[length] == ' ' || listed[length] == '\0'))
			return;
	elog(ERROR, "the detail of %s has no key \"%s\"", info->name, key);
}

/* In a rush most calls come here, so nothing is formatted that need not be; keys of the table need no escapes. */
void
raise_error_members(ErrorCode code, const char *hint, const DetailMember *members)
{
	StringInfoData detail;
	const char *reason = NULL;

	initStringInfo(&detail);
	for (const DetailMember *member = members; member->key != NULL; member++)
	{
		if (strcmp(member->key, "reason") == 0)
			reason = member->text;
		check_key(&error_table[code], member->key, strlen(member->key));
		appendStringInfoString(&detail, member == members ? "{\"" : ", \"");
		appendStringInfoString(&detail, member->key);
		appendStringInfoString(&detail, "\": ");
		if (member->text)
			escape_json(&detail, member->text);
		else
		{
			char		digits[MAXINT8LEN + 1];

			pg_lltoa(member->number, digits);
			appendStringInfoString(&detail, digits);
		}
	}
	if (detail.len == 0)
		raise(code, NULL, NULL, hint);
	appendStringInfoChar(&detail, '}');
	raise(code, detail.data, reason, hint);
}

void
raise_invalid(const char *argument, const char *reason,...)
{
	StringInfoData text;

	initStringInfo(&text);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, reason);
		needed = appendStringInfoVA(&text, reason, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	raise_error(ERROR_INVALID_REQUEST, D_TEXT("argument", argument), D_TEXT("reason", text.data));
}

void
raise_not_found(const char *entity, int64 id)
{
	raise_error(ERROR_ENTITY_NOT_FOUND, D_TEXT("entity", entity), D_INT("id", id));
}

/* Checks the keys of a detail that comes from SQL, and renders it. */
static char *
detail_text(const ErrorInfo *info, Jsonb *detail)
{
	JsonbIterator *iterator = JsonbIteratorInit(&detail->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
			check_key(info, pnstrdup(value.val.string.val, value.val.string.len), value.val.string.len);
	return JsonbToCString(NULL, &detail->root, VARSIZE(detail));
}

/* The reason in a detail that comes from SQL, or NULL. */
static char *
detail_reason(Jsonb *detail)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&detail->root, "reason", strlen("reason"), &value) == NULL || value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/*
 * raise_error(code text, detail jsonb, hint text)
 *
 * For the extension's functions that are written in SQL.
 */
Datum
commerce_raise_error(PG_FUNCTION_ARGS)
{
	const char *name = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));

	for (int code = 0; code < (int) lengthof(error_table); code++)
		if (strcmp(error_table[code].name, name) == 0)
			raise((ErrorCode) code,
				  PG_ARGISNULL(1) ? NULL : detail_text(&error_table[code], PG_GETARG_JSONB_P(1)),
				  PG_ARGISNULL(1) ? NULL : detail_reason(PG_GETARG_JSONB_P(1)),
				  PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	elog(ERROR, "unknown error code \"%s\"", name);
}

/* Texts are kept in UTF-8. */
static Datum
korean_datum(const char *text)
{
	return PointerGetDatum(cstring_to_text(pg_any_to_server(text, strlen(text), PG_UTF8)));
}

/*
 * error_codes()
 *
 * The whole table, in its order.
 */
Datum
commerce_error_codes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < (int) lengthof(error_table); i++)
	{
		const ErrorInfo *info = &error_table[i];
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = Int32GetDatum(info->http_status);
		values[1] = CStringGetTextDatum(info->name);
		values[2] = CStringGetTextDatum(info->sqlstate);
		values[3] = CStringGetTextDatum(info->message);
		values[4] = korean_datum(info->message_ko);
		values[5] = CStringGetTextDatum(info->keys);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * error_texts()
 *
 * What error_reasons.h has, in its order.
 */
Datum
commerce_error_texts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < (int) lengthof(error_texts); i++)
	{
		const ErrorText *text = &error_texts[i];
		Datum		values[3] = {(Datum) 0, CStringGetTextDatum(text->english), korean_datum(text->korean)};
		bool		nulls[3] = {text->word == NULL};

		if (text->word)
			values[0] = CStringGetTextDatum(text->word);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
