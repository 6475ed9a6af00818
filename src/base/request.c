/*
 * request.c
 *	  The request that PostgREST makes, as it hands it over in settings: request.method, and, as JSON objects,
 *	  request.headers and request.jwt.claims.
 *
 * Anybody can set these to anything.  An object is parsed once, and kept until the setting is another.
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/request.h"

PG_FUNCTION_INFO_V1(commerce_request_header);

typedef struct Member
{
	struct Member *next;
	const char *name;
	const char *value;			/* NULL: neither string nor number */
} Member;

/* A setting that is a JSON object. */
typedef struct RequestObject
{
	const char *setting;
	MemoryContext context;		/* of what is below */
	char	   *text;			/* that was parsed, or NULL */
	Member	   *members;		/* that are no objects or arrays, the last first; none of what is no JSON */
} RequestObject;

typedef struct ParseState
{
	JsonLexContext *lexer;
	RequestObject *object;
	Member	   *open;			/* the value comes next */
} ParseState;

bool
request_is_http(void)
{
	const char *method = GetConfigOption("request.method", true, false);

	/* a session that PostgREST has used before keeps the setting, empty */
	return method != NULL && method[0] != '\0';
}

static json_action
begin_member(void *arg, char *name, bool isnull)
{
	ParseState *state = arg;

	if (state->lexer->lex_level == 1)
	{
		state->open = palloc0(sizeof(Member));
		state->open->name = name;
	}
	return json_action_done;
}

static json_action
take_scalar(void *arg, char *token, JsonTokenType type)
{
	ParseState *state = arg;

	if (state->lexer->lex_level == 1 && state->open != NULL)
	{
		state->open->value = (type == JSON_TOKEN_STRING || type == JSON_TOKEN_NUMBER) ? token : NULL;
		state->open->next = state->object->members;
		state->object->members = state->open;
		state->open = NULL;
	}
	return json_action_done;
}

/* The value is a container. */
static json_action
pass_container(void *arg)
{
	ParseState *state = arg;

	state->open = NULL;
	return json_action_done;
}

static void
parse(RequestObject *object, const char *text)
{
	ParseState	state = {.object = object};
	JsonSemAction actions = {
		.semstate = &state,.object_field_start = begin_member,.scalar = take_scalar,
		.object_start = pass_container,.array_start = pass_container
	};
	MemoryContext previous;

	object->text = NULL;
	object->members = NULL;
	if (object->context == NULL)
		object->context = AllocSetContextCreate(TopMemoryContext, "commerce request", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(object->context);
	previous = MemoryContextSwitchTo(object->context);
	text = pstrdup(text);
	state.lexer = make_json_lexer(unconstify(char *, text));
	if (pg_parse_json(state.lexer, &actions) != JSON_SUCCESS)
		object->members = NULL;
	object->text = unconstify(char *, text);
	MemoryContextSwitchTo(previous);
}

static const char *
find_member(RequestObject *object, const char *name)
{
	const char *text = GetConfigOption(object->setting, true, false);

	if (text == NULL)
		return NULL;
	if (object->text == NULL || strcmp(object->text, text) != 0)
		parse(object, text);
	for (Member *member = object->members; member != NULL; member = member->next)
		if (strcmp(member->name, name) == 0)
			return member->value;
	return NULL;
}

const char *
request_header(const char *name)
{
	static RequestObject headers = {"request.headers"};

	return find_member(&headers, name);
}

const char *
request_claim(const char *name)
{
	static RequestObject claims = {"request.jwt.claims"};

	return find_member(&claims, name);
}

/*
 * request_header(name text)
 *
 * For the extension's functions that are written in SQL.
 */
Datum
commerce_request_header(PG_FUNCTION_ARGS)
{
	const char *value = request_header(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(value));
}
