/*
 * attempt.c
 *	  A call that may fail, for functions written in PL/pgSQL.
 *
 * A block with EXCEPTION leaves its subtransaction open when PL/pgSQL runs out of memory while it keeps the error or
 * rolls back.  Its caller's block then ends that subtransaction in the place of its own, and goes on with the user and
 * the search_path of our function.  So no function of ours has such a block (make lint): subtransaction.c is safe.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/subtransaction.h"

#define FIRST_ARG	2			/* of the function, among those of attempt() */
#define MAX_ARGS	4

PG_FUNCTION_INFO_V1(commerce_attempt);

typedef struct Attempt
{
	FunctionCallInfo call;
	char	   *result;			/* NULL for null */
} Attempt;

static bool
call_function(void *arg)
{
	Attempt    *attempt = arg;
	Datum		value = FunctionCallInvoke(attempt->call);
	Oid			output;
	bool		is_varlena;

	if (attempt->call->isnull)
		return true;
	getTypeOutputInfo(get_func_rettype(attempt->call->flinfo->fn_oid), &output, &is_varlena);
	attempt->result = OidOutputFunctionCall(output, value);
	return true;
}

/* Fills in a call with the arguments that are given; false: the function is strict, and one is null. */
static bool
prepare_call(FunctionCallInfo fcinfo, FunctionCallInfo call, FmgrInfo *function)
{
	Oid			id = PG_GETARG_OID(1);
	Oid		   *types;
	int			nargs;
	bool		has_null = false;

	if (function_aclcheck(id, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(id));
	(void) get_func_signature(id, &types, &nargs);
	if (nargs != PG_NARGS() - FIRST_ARG || nargs > MAX_ARGS)
		elog(ERROR, "%s() does not take %d arguments", get_func_name(id), PG_NARGS() - FIRST_ARG);
	fmgr_info(id, function);
	InitFunctionCallInfoData(*call, function, nargs, PG_GET_COLLATION(), NULL, NULL);
	for (int i = 0; i < nargs; i++)
	{
		if (get_fn_expr_argtype(fcinfo->flinfo, FIRST_ARG + i) != types[i])
			elog(ERROR, "argument %d of %s() is of another type", i + 1, get_func_name(id));
		call->args[i] = fcinfo->args[FIRST_ARG + i];
		has_null |= call->args[i].isnull;
	}
	return !(function->fn_strict && has_null);
}

/* Whether an error is among those that are named, by the beginning of their SQLSTATE or by the unique constraint. */
static bool
is_named(const ErrorData *error, ArrayType *names)
{
	const char *state = unpack_sql_state(error->sqlerrcode);
	const char *unique = error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ? error->constraint_name : NULL;
	Datum	   *elements;
	int			n;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		const char *name = TextDatumGetCString(elements[i]);

		if (strncmp(state, name, strlen(name)) == 0 ||
			(unique != NULL && strcmp(unique, name) == 0))
			return true;
	}
	return false;
}

/*
 * attempt(caught text[], function regprocedure, VARIADIC arguments "any",
 *		   OUT result text, OUT sqlstate text, OUT message text, OUT constraint_name text)
 */
Datum
commerce_attempt(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(call, MAX_ARGS);
	FmgrInfo	function;
	Attempt		attempt = {call};
	ErrorData  *error = NULL;
	TupleDesc	desc;
	const char *answer[4] = {NULL};
	Datum		values[4] = {0};
	bool		nulls[4];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "attempt() returns a row");
	if (prepare_call(fcinfo, call, &function))
		(void) subtransaction_try(call_function, &attempt, &error);
	if (error != NULL)
	{
		if (PG_ARGISNULL(0) ? error_ends_transaction(error) : !is_named(error, PG_GETARG_ARRAYTYPE_P(0)))
			ReThrowError(error);
		answer[1] = unpack_sql_state(error->sqlerrcode);
		answer[2] = error->message;
		answer[3] = error->constraint_name;
	}
	else
		answer[0] = attempt.result;
	for (int i = 0; i < (int) lengthof(answer); i++)
	{
		nulls[i] = answer[i] == NULL;
		if (!nulls[i])
			values[i] = CStringGetTextDatum(answer[i]);
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
