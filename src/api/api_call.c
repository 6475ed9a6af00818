/*
 * api_call.c
 *	  Calling the function behind an endpoint.
 *
 * It is called directly, as an expression would call it: preparing and executing a statement around it costs more than
 * the whole check of a request.  Only what returns a set goes through a statement.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "api/api_call.h"
#include "base/compat.h"
#include "base/sql.h"

/* The value of a parameter's default, in the current memory context. */
static Datum
default_value(const ApiParam *param, bool *isnull)
{
	EState	   *estate;
	ExprState  *state;
	Datum		value;
	int16		length;
	bool		by_value;

	if (IsA(param->default_value, Const))
	{
		*isnull = ((Const *) param->default_value)->constisnull;
		return ((Const *) param->default_value)->constvalue;
	}
	estate = CreateExecutorState();
	state = ExecPrepareExpr(copyObject((Expr *) param->default_value), estate);
	value = ExecEvalExprSwitchContext(state, GetPerTupleExprContext(estate), isnull);
	get_typlenbyval(param->type, &length, &by_value);
	if (!*isnull)
		value = datumCopy(value, by_value, length);
	FreeExecutorState(estate);
	return value;
}

/* Fills in what the function is called with: what is given, else a default, else NULL. */
static void
fill_params(const ApiRequest *request, Datum *values, bool *nulls)
{
	const ApiEndpoint *endpoint = request->endpoint;
	bool		given[SQL_MAX_ARGS] = {false};

	for (int i = 0; i < endpoint->nargs; i++)
		if (request->given & ((uint32) 1 << i))
		{
			int			param = endpoint->args[i].param;

			given[param] = true;
			values[param] = request->values[i];
			nulls[param] = false;
		}
	for (int i = 0; i < endpoint->nparams; i++)
	{
		if (given[i])
			continue;
		values[i] = (Datum) 0;
		nulls[i] = true;
		if (endpoint->params[i].default_value)
			values[i] = default_value(&endpoint->params[i], &nulls[i]);
	}
}

static ApiResult
call_for_set(ApiEndpoint *endpoint, const Datum *values, const bool *nulls)
{
	ApiResult	result = {JSONBOID};
	char		marks[SQL_MAX_ARGS];

	for (int i = 0; i < endpoint->nparams; i++)
		marks[i] = nulls[i] ? 'n' : ' ';
	result.value = sql_get_datum(&endpoint->rows, values, marks, &result.isnull);
	return result;
}

ApiResult
api_call(const ApiRequest *request)
{
	ApiEndpoint *endpoint = request->endpoint;
	ApiResult	result = {endpoint->result_type};
	Datum		values[SQL_MAX_ARGS];
	bool		nulls[SQL_MAX_ARGS];
	FmgrInfo	function;
	LOCAL_FCINFO(fcinfo, SQL_MAX_ARGS);

	fill_params(request, values, nulls);
	if (endpoint->returns_set)
		return call_for_set(endpoint, values, nulls);

	fmgr_info(endpoint->function, &function);
	InitFunctionCallInfoData(*fcinfo, &function, endpoint->nparams, DEFAULT_COLLATION_OID, NULL, NULL);
	for (int i = 0; i < endpoint->nparams; i++)
	{
		fcinfo->args[i].value = values[i];
		fcinfo->args[i].isnull = nulls[i];
	}
	result.value = FunctionCallInvoke(fcinfo);
	result.isnull = fcinfo->isnull || endpoint->result_type == VOIDOID;
	return result;
}

/* What shows a row with more than its own columns; of orders, to a seller. */
static Jsonb *
complete(ApiCompletion completion, const ApiResult *result)
{
#define COMPLETION_STATEMENT(name) \
	[API_COMPLETES_##name] = {"SELECT commerce_private.api_complete_" #name "($1)", 1, {INT8OID}},
	static SqlStatement statements[] = {API_COMPLETIONS(COMPLETION_STATEMENT)};
	char	   *id = answer_member(result, NULL, "id");
	bool		isnull;
	Datum		row;

	row = sql_get_datum(&statements[completion], SQL_ARGS(Int64GetDatum(strtoi64(id, NULL, 10))), NULL, &isnull);
	return isnull ? NULL : DatumGetJsonbP(row);
}

void
api_append_data(StringInfo json, const ApiRequest *request, const ApiResult *result)
{
	const ApiEndpoint *endpoint = request->endpoint;

	if (result->isnull || endpoint->completion == API_COMPLETES_none)
		answer_append(json, result, endpoint->result);
	else if (answer_is_row_of(result, TABLE_ORDER_SHEETS) ||
			 (answer_is_row_of(result, TABLE_ORDERS) && request->caller.role != API_ROLE_SELLER))
		answer_append_with_lines(json, result);
	else
	{
		Jsonb	   *row = complete(endpoint->completion, result);
		ApiResult	completed = {JSONBOID, row == NULL, JsonbPGetDatum(row)};

		answer_append(json, &completed, NULL);
	}
}
