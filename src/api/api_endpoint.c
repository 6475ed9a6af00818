/*
 * api_endpoint.c
 *	  What commerce_private.api_endpoints says of a function of commerce_api, kept for the backend's life.
 *
 * Everything is read anew after any function of the database has changed: signatures are what requests
 * are checked against.  Prepared calls live as long as the description they were made from.
 *
 * A call that is under way goes on with what it has.  A trigger below it may change a function, or call so
 * often that there are too many prepared calls: therefore what is given up is freed when the transaction ends.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "api/api_endpoint.h"
#include "base/compat.h"

#define MAX_CALLS		32		/* kept of one endpoint */

#define API_SOURCE_LABEL(source) #source,
static const char *const source_labels[] = {API_SOURCES(API_SOURCE_LABEL)};

/* Of the hash table. */
typedef struct KeptEndpoint
{
	Oid			oid;			/* of the function of commerce_api; hash key */
	ApiEndpoint *endpoint;		/* NULL: not read yet */
} KeptEndpoint;

static HTAB *endpoints = NULL;
static bool stale = false;

static void
functions_changed(Datum arg, int cacheid, uint32 hash)
{
	stale = true;
}

/* Gives up what is in a context, which somebody up the stack may be using. */
static void
give_up(MemoryContext context)
{
	MemoryContextSetParent(context, TopTransactionContext);
}

/* A statement's memory is about to be freed. */
static void
free_plan(void *arg)
{
	SqlStatement *statement = arg;

	if (statement->plan != NULL)
		SPI_freeplan(statement->plan);
	statement->plan = NULL;
}

/* Frees a statement's plan together with the memory that the statement is in. */
static void
free_plan_with(MemoryContext context, SqlStatement *statement)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));

	callback->func = free_plan;
	callback->arg = statement;
	MemoryContextRegisterResetCallback(context, callback);
}

static void
give_up_calls(ApiEndpoint *endpoint)
{
	if (endpoint->call_context != NULL)
		give_up(endpoint->call_context);
	endpoint->call_context = NULL;
	endpoint->calls = NULL;
	endpoint->ncalls = 0;
}

static void
give_up_stale(void)
{
	HASH_SEQ_STATUS scan;
	KeptEndpoint *kept;

	stale = false;
	hash_seq_init(&scan, endpoints);
	while ((kept = hash_seq_search(&scan)) != NULL)
	{
		if (kept->endpoint != NULL)
			give_up(kept->endpoint->context);
		kept->endpoint = NULL;
	}
}

static void
create_cache(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(KeptEndpoint)};

	endpoints = hash_create("commerce endpoints", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterSyscacheCallback(PROCOID, functions_changed, (Datum) 0);
}

static ApiSource
source_of(const char *label)
{
	for (int source = 0; source < (int) lengthof(source_labels); source++)
		if (strcmp(source_labels[source], label) == 0)
			return (ApiSource) source;
	elog(ERROR, "unknown source \"%s\" of an argument", label);
}

static char *
copy_text(MemoryContext context, SqlResult *result, const char *column)
{
	char	   *value = result_text(result, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

static void
read_arguments(ApiEndpoint *endpoint)
{
	static SqlStatement read = {
		"SELECT a.argument, a.type::oid::bigint AS type, a.source, a.asked, a.required, a.needs_null "
		"FROM commerce_private.api_arguments a WHERE a.endpoint = $1 ORDER BY a.position",
		1, {TEXTOID}
	};
	SqlResult	result = sql_query(&read, SQL_ARGS(CStringGetTextDatum(endpoint->name)));

	endpoint->nargs = (int) result.n;
	if (endpoint->nargs > SQL_MAX_ARGS)
		elog(ERROR, "%s has too many arguments", endpoint->function);
	endpoint->args = MemoryContextAllocZero(endpoint->context, Max(endpoint->nargs, 1) * sizeof(ApiArgument));
	for (int i = 0; result_next(&result); i++)
	{
		endpoint->args[i].name = copy_text(endpoint->context, &result, "argument");
		endpoint->args[i].type = (Oid) result_int64(&result, "type");
		endpoint->args[i].source = source_of(result_text(&result, "source"));
		endpoint->judges_actor |= (endpoint->args[i].source == API_FROM_ACTOR);
		endpoint->for_newcomers |= (endpoint->args[i].source == API_FROM_SUBJECT);
		endpoint->args[i].asked = result_bool(&result, "asked");
		endpoint->args[i].required = result_bool(&result, "required");
		endpoint->args[i].needs_null = result_bool(&result, "needs_null");
	}
}

/* Reads who may call it: an array of api_role. */
static void
read_roles(ApiEndpoint *endpoint, Datum array)
{
	ArrayIterator iterator = array_create_iterator(DatumGetArrayTypeP(array), 0, NULL);
	Datum		role;
	bool		isnull;

	while (array_iterate(iterator, &role, &isnull))
		endpoint->roles[catalog_label_of(TYPE_API_ROLE, role)] = true;
	array_free_iterator(iterator);
}

static ApiEndpoint *
read_endpoint(Oid oid)
{
	static SqlStatement read = {
		"SELECT c.name, c.function, c.answer, c.location, c.reads, c.keyed, c.roles "
		"FROM commerce_private.api_calls c WHERE c.called = $1",
		1, {OIDOID}
	};
	SqlResult	result = sql_query(&read, SQL_ARGS(ObjectIdGetDatum(oid)));
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "commerce endpoint", ALLOCSET_SMALL_SIZES);
	ApiEndpoint *endpoint = MemoryContextAllocZero(context, sizeof(ApiEndpoint));

	endpoint->context = context;
	if (!result_next(&result))
		elog(ERROR, "function %u is not in commerce_private.api_endpoints", oid);
	endpoint->name = copy_text(context, &result, "name");
	endpoint->function = copy_text(context, &result, "function");
	endpoint->answer = copy_text(context, &result, "answer");
	endpoint->location = copy_text(context, &result, "location");
	endpoint->reads = result_bool(&result, "reads");
	endpoint->keyed = result_bool(&result, "keyed");
	read_roles(endpoint, result_varlena(&result, "roles"));
	read_arguments(endpoint);
	return endpoint;
}

ApiEndpoint *
api_endpoint(Oid oid)
{
	KeptEndpoint *kept;
	bool		found;

	if (endpoints == NULL)
		create_cache();
	if (stale)
		give_up_stale();
	kept = hash_search(endpoints, &oid, HASH_ENTER, &found);
	if (!found)
		kept->endpoint = NULL;
	if (kept->endpoint == NULL)
	{
		ApiEndpoint *endpoint = read_endpoint(oid);

		/* complete: from here on it is kept */
		MemoryContextSetParent(endpoint->context, TopMemoryContext);
		kept->endpoint = endpoint;
	}
	return kept->endpoint;
}

SqlStatement *
api_endpoint_call(ApiEndpoint *endpoint, uint32 given)
{
	MemoryContext previous;
	StringInfoData sql;
	ApiCall    *call;

	for (call = endpoint->calls; call != NULL; call = call->next)
		if (call->given == given)
			return &call->statement;

	/* a client can leave out optional arguments in very many ways */
	if (endpoint->ncalls == MAX_CALLS)
		give_up_calls(endpoint);
	if (endpoint->call_context == NULL)
		endpoint->call_context = AllocSetContextCreate(endpoint->context, "commerce calls", ALLOCSET_SMALL_SIZES);

	previous = MemoryContextSwitchTo(endpoint->call_context);
	call = palloc0(sizeof(ApiCall));
	free_plan_with(endpoint->call_context, &call->statement);
	call->given = given;
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s FROM %s(", endpoint->answer, endpoint->function);
	for (int i = 0; i < endpoint->nargs; i++)
		if (given & ((uint32) 1 << i))
		{
			call->statement.argtypes[call->statement.nargs++] = endpoint->args[i].type;
			appendStringInfo(&sql, "%s%s => $%d", call->statement.nargs == 1 ? "" : ", ",
							 quote_identifier(endpoint->args[i].name), call->statement.nargs);
		}
	appendStringInfoString(&sql, ") AS r");
	call->statement.sql = sql.data;
	call->next = endpoint->calls;
	endpoint->calls = call;
	endpoint->ncalls++;
	MemoryContextSwitchTo(previous);
	return &call->statement;
}
