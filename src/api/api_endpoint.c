/*
 * api_endpoint.c
 *	  What commerce_private.api_calls and the catalog say of a function of commerce_api, kept for the backend's life.
 *
 * Everything is read anew after any function of the database has changed: signatures are what requests
 * are checked against.
 *
 * A call that is under way goes on with what it has.  A trigger below it may change a function: therefore what is
 * given up is freed when the transaction ends.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "api/api_answer.h"
#include "api/api_endpoint.h"
#include "base/compat.h"
#include "base/row_reader.h"

#define API_LABEL(name) #name,
static const char *const source_labels[] = {API_SOURCES(API_LABEL)};
static const char *const completion_labels[] = {API_COMPLETIONS(API_LABEL)};

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

/* A column that is text, or NULL. */
static char *
copy_text(MemoryContext context, RowReader *reader, int column)
{
	char	   *value = row_text(reader, column);

	return value ? MemoryContextStrdup(context, value) : NULL;
}

/* A column that is an array without nulls, of a type that is passed by reference or a boolean. */
static Datum *
read_array(RowReader *reader, int column, Oid type, int *n)
{
	bool		isnull;
	ArrayType  *array = DatumGetArrayTypeP(row_datum(reader, column, &isnull));
	Datum	   *elements;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &elements, NULL, n);
	return elements;
}

static void
read_arguments(ApiEndpoint *endpoint, RowReader *reader)
{
	int			n;
	Datum	   *names = read_array(reader, API_CALLS_ARGUMENTS, TEXTOID, &endpoint->nargs);
	Datum	   *sources = read_array(reader, API_CALLS_SOURCES, TEXTOID, &n);
	Datum	   *asked = read_array(reader, API_CALLS_ASKED, BOOLOID, &n);
	Datum	   *required = read_array(reader, API_CALLS_REQUIRED, BOOLOID, &n);

	if (endpoint->nargs > SQL_MAX_ARGS)
		elog(ERROR, "%s has too many arguments", endpoint->name);
	endpoint->args = MemoryContextAllocZero(endpoint->context, Max(endpoint->nargs, 1) * sizeof(ApiArgument));
	for (int i = 0; i < endpoint->nargs; i++)
	{
		endpoint->args[i].name = MemoryContextStrdup(endpoint->context, TextDatumGetCString(names[i]));
		endpoint->args[i].source = source_of(TextDatumGetCString(sources[i]));
		endpoint->judges_actor |= (endpoint->args[i].source == API_FROM_ACTOR);
		endpoint->for_newcomers |= (endpoint->args[i].source == API_FROM_SUBJECT);
		endpoint->args[i].asked = DatumGetBool(asked[i]);
		endpoint->args[i].required = DatumGetBool(required[i]);
		endpoint->args[i].param = -1;
	}
}

/* Reads who may call it: an array of api_role. */
static void
read_roles(ApiEndpoint *endpoint, RowReader *reader)
{
	bool		isnull;
	ArrayIterator iterator = array_create_iterator(DatumGetArrayTypeP(row_datum(reader, API_CALLS_ROLES, &isnull)), 0, NULL);
	Datum		role;

	while (array_iterate(iterator, &role, &isnull))
		endpoint->roles[catalog_label_of(TYPE_API_ROLE, role)] = true;
	array_free_iterator(iterator);
}

static ApiCompletion
completion_of(const char *label)
{
	for (int completion = 0; completion < (int) lengthof(completion_labels); completion++)
		if (label != NULL && strcmp(completion_labels[completion], label) == 0)
			return (ApiCompletion) completion;
	return API_COMPLETES_none;
}

/* Reads what commerce_private.api_calls says. */
static void
read_call(ApiEndpoint *endpoint)
{
	RowReader	reader;
	char	   *completion;

	row_reader_open(&reader, TABLE_API_CALLS, INDEX_API_CALLS_PKEY, 1);
	row_reader_seek_name(&reader, endpoint->name);
	if (!row_reader_next(&reader))
		elog(ERROR, "function %s is not in commerce_private.api_calls", endpoint->name);
	read_roles(endpoint, &reader);
	endpoint->reads = row_bool(&reader, API_CALLS_READS);
	endpoint->keyed = row_bool(&reader, API_CALLS_KEYED);
	endpoint->result = copy_text(endpoint->context, &reader, API_CALLS_RESULT);
	endpoint->location = copy_text(endpoint->context, &reader, API_CALLS_LOCATION);
	completion = row_text(&reader, API_CALLS_COMPLETION);
	endpoint->completion = completion_of(completion);
	read_arguments(endpoint, &reader);
	row_reader_close(&reader);
}

/* The only function of a name. */
static Oid
function_of(const char *schema, char *name, bool missing_ok)
{
	Oid			any = InvalidOid;	/* LookupFuncName() wants some */

	return LookupFuncName(list_make2(makeString(pstrdup(schema)), makeString(name)), -1, &any, missing_ok);
}

/*
 * The function behind: no table says what is executed.  REST's own has a name of its own, the others are called alike;
 * those of commerce_private are for administrators.
 */
static Oid
find_function(const char *name)
{
	Oid			function = function_of("commerce_private", psprintf("api_%s", name), true);

	if (!OidIsValid(function))
		function = function_of("commerce", pstrdup(name), true);
	if (!OidIsValid(function))
		function = function_of("commerce_private", pstrdup(name), false);
	return function;
}

/* Which argument a parameter is, by its name; NULL: it is none. */
static ApiArgument *
find_argument(ApiEndpoint *endpoint, const char *name)
{
	for (int i = 0; i < endpoint->nargs; i++)
		if (strcmp(endpoint->args[i].name, name) == 0)
			return &endpoint->args[i];
	return NULL;
}

/* The defaults of the last parameters; NIL: there are none. */
static List *
read_defaults(HeapTuple tuple)
{
	bool		isnull;
	Datum		defaults = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults, &isnull);

	return isnull ? NIL : castNode(List, stringToNode(TextDatumGetCString(defaults)));
}

static void
read_params(ApiEndpoint *endpoint, HeapTuple tuple)
{
	Form_pg_proc function = (Form_pg_proc) GETSTRUCT(tuple);
	MemoryContext previous = MemoryContextSwitchTo(endpoint->context);
	List	   *defaults = read_defaults(tuple);
	char	  **names;
	char	   *modes;
	Oid		   *types;
	int			n = get_func_arg_info(tuple, &types, &names, &modes);

	endpoint->nparams = function->pronargs;
	if (endpoint->nparams > SQL_MAX_ARGS)
		elog(ERROR, "%s has too many arguments", endpoint->name);
	endpoint->params = palloc0(Max(endpoint->nparams, 1) * sizeof(ApiParam));
	for (int i = 0, param = 0; i < n && param < endpoint->nparams; i++)
	{
		ApiArgument *argument = find_argument(endpoint, names[i]);
		int			nth_default = param - (endpoint->nparams - list_length(defaults));

		if (modes != NULL && modes[i] != PROARGMODE_IN && modes[i] != PROARGMODE_INOUT)
			continue;
		endpoint->params[param].type = types[i];
		if (nth_default >= 0)
			endpoint->params[param].default_value = list_nth(defaults, nth_default);
		if (argument != NULL)
		{
			argument->param = param;
			argument->type = types[i];
		}
		param++;
	}
	MemoryContextSwitchTo(previous);
}

/* The columns of f, rows of a type; of a table those that are commerce's. */
static void
append_columns(StringInfo sql, Oid type)
{
	int			nown = answer_own_columns(type);

	if (nown == 0)
		appendStringInfoString(sql, "f.*");
	for (int i = 1; i <= nown; i++)
		appendStringInfo(sql, "%sf.%s", i == 1 ? "" : ", ",
						 quote_identifier(get_attname(get_typ_typrelid(type), i, false)));
}

/* The statement that has a set as a jsonb array. */
static void
make_rows(ApiEndpoint *endpoint, const char *schema, const char *function)
{
	MemoryContext previous = MemoryContextSwitchTo(endpoint->context);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT coalesce(jsonb_agg(to_jsonb(r) - commerce_private.api_internal()), '[]') FROM (SELECT ");
	append_columns(&sql, endpoint->result_type);
	appendStringInfo(&sql, " FROM %s(", quote_qualified_identifier(schema, function));
	for (int i = 0; i < endpoint->nparams; i++)
	{
		appendStringInfo(&sql, "%s$%d", i == 0 ? "" : ", ", i + 1);
		endpoint->rows.argtypes[i] = endpoint->params[i].type;
	}
	appendStringInfoString(&sql, ") AS f) AS r");
	endpoint->rows.nargs = endpoint->nparams;
	endpoint->rows.sql = sql.data;
	free_plan_with(endpoint->context, &endpoint->rows);
	MemoryContextSwitchTo(previous);
}

static ApiEndpoint *
read_endpoint(Oid oid)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "commerce endpoint", ALLOCSET_SMALL_SIZES);
	ApiEndpoint *endpoint = MemoryContextAllocZero(context, sizeof(ApiEndpoint));
	HeapTuple	tuple;
	Form_pg_proc function;

	endpoint->context = context;
	endpoint->name = MemoryContextStrdup(context, get_func_name(oid));
	read_call(endpoint);
	endpoint->function = find_function(endpoint->name);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(endpoint->function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "function %u is gone", endpoint->function);
	function = (Form_pg_proc) GETSTRUCT(tuple);
	endpoint->returns_set = function->proretset;
	endpoint->result_type = function->prorettype;
	read_params(endpoint, tuple);
	if (endpoint->returns_set)
		make_rows(endpoint, get_namespace_name(function->pronamespace), NameStr(function->proname));
	ReleaseSysCache(tuple);
	for (int i = 0; i < endpoint->nargs; i++)
		if (endpoint->args[i].param < 0)
			elog(ERROR, "the function behind %s has no argument \"%s\"", endpoint->name, endpoint->args[i].name);
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
