/*
 * sql.c
 *	  SQL statements that are planned once per backend.
 *
 * Statements are planned generically: their plans are index lookups by key whatever the values are, and
 * however many rows the tables have.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/pathnode.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/sql.h"

#define LARGE_TABLE_ROWS	1000000.0

/* Marks, among the options of a cursor, the statements that are ours; PostgreSQL passes it on. */
#define CURSOR_OPT_LARGE_SHOP	(1 << 30)

static planner_hook_type previous_planner_hook = NULL;
static relation_planned_hook_type previous_relation_planned_hook = NULL;

static bool planning_large_shop = false;

static void
prepare(SqlStatement *statement)
{
	SPIPlanPtr	plan;

	if (statement->plan != NULL)
		return;
	plan = SPI_prepare_cursor(statement->sql, statement->nargs, statement->argtypes,
							  CURSOR_OPT_GENERIC_PLAN | CURSOR_OPT_LARGE_SHOP);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", statement->sql, SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", statement->sql);
	statement->plan = plan;
}

/* Tells the planner of tables as they are in a large shop, whatever they are now. */
static void
assume_large(relation_planned_arguments)
{
	ListCell   *cell;

	if (previous_relation_planned_hook)
		previous_relation_planned_hook(relation_planned_values);
	if (!planning_large_shop || !relation_is_planned)
		return;
	rel->tuples = Max(rel->tuples, LARGE_TABLE_ROWS);
	rel->pages = Max(rel->pages, LARGE_TABLE_ROWS / 100);
	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, cell);

		index->tuples = Max(index->tuples, LARGE_TABLE_ROWS);
		index->pages = Max(index->pages, LARGE_TABLE_ROWS / 300);
	}
}

static PlannedStmt *
make_plan(Query *query, const char *sql, int options, ParamListInfo params planner_argument)
{
	return previous_planner_hook ? previous_planner_hook(query, sql, options, params planner_value)
		: standard_planner(query, sql, options, params planner_value);
}

static void
disable(const char *name)
{
	(void) set_config_option(name, "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Plans our statements for a large shop: such a plan is kept when tables that are empty now have grown.
 * PostgreSQL decides when a kept plan is made again (a table was changed, the search_path is another),
 * therefore this is the planner's hook.
 */
static PlannedStmt *
plan_large_shop(Query *query, const char *sql, int options, ParamListInfo params planner_argument)
{
	PlannedStmt *plan;
	bool		outer = planning_large_shop;
	int			level;

	if (!(options & CURSOR_OPT_LARGE_SHOP))
		return make_plan(query, sql, options, params planner_value);

	level = NewGUCNestLevel();
	disable("enable_seqscan");
	disable("enable_hashjoin");
	disable("enable_mergejoin");
	disable("jit");
	planning_large_shop = true;
	PG_TRY();
	{
		plan = make_plan(query, sql, options, params planner_value);
	}
	PG_FINALLY();
	{
		planning_large_shop = outer;
	}
	PG_END_TRY();
	AtEOXact_GUC(true, level);
	return plan;
}

void
sql_init(void)
{
	previous_planner_hook = planner_hook;
	planner_hook = plan_large_shop;
	previous_relation_planned_hook = relation_planned_hook;
	relation_planned_hook = assume_large;
}

static uint64
execute(SqlStatement *statement, const Datum *values, const char *nulls, SqlSnapshot snapshot)
{
	Datum	   *bound = unconstify(Datum *, values);
	int			code;

	prepare(statement);
	if (snapshot == SQL_LATEST)
	{
		/* make our own writes visible to the snapshot */
		CommandCounterIncrement();
		code = SPI_execute_snapshot(statement->plan, bound, nulls, GetLatestSnapshot(), InvalidSnapshot, false, true, 0);
	}
	else
		code = SPI_execute_plan(statement->plan, bound, nulls, snapshot == SQL_ACTIVE, 0);
	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->sql, SPI_result_code_string(code));
	return SPI_processed;
}

uint64
sql_do(SqlStatement *statement, const Datum *values)
{
	uint64		n;

	SPI_connect();
	n = execute(statement, values, NULL, statement->snapshot);
	SPI_finish();
	return n;
}

bool
sql_exists(SqlStatement *statement, const Datum *values)
{
	return sql_do(statement, values) > 0;
}

SqlResult
sql_query_with_nulls(SqlStatement *statement, const Datum *values, const char *nulls)
{
	SqlResult	result = {0};
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	result.n = execute(statement, values, nulls, statement->snapshot);
	result.table = SPI_tuptable;
	/* or it goes with SPI_finish() */
	if (result.table)
		MemoryContextSetParent(result.table->tuptabcxt, caller);
	SPI_finish();
	return result;
}

SqlResult
sql_query(SqlStatement *statement, const Datum *values)
{
	return sql_query_with_nulls(statement, values, NULL);
}

bool
result_next(SqlResult *result)
{
	if (result->next == result->n)
		return false;
	result->next++;
	return true;
}

/* The column's number. */
static int
find_column(SqlResult *result, const char *column)
{
	TupleDesc	desc = result->table->tupdesc;

	for (int i = 0; i < desc->natts; i++)
	{
		int			number = (result->column + i) % desc->natts;

		if (strcmp(NameStr(TupleDescAttr(desc, number)->attname), column) == 0)
			return result->column = number + 1;
	}
	elog(ERROR, "a result has no column \"%s\"", column);
}

Datum
result_datum(SqlResult *result, const char *column, bool *isnull)
{
	Assert(result->next > 0);
	return heap_getattr(result->table->vals[result->next - 1], find_column(result, column),
						result->table->tupdesc, isnull);
}

bool
result_is_null(SqlResult *result, const char *column)
{
	bool		isnull;

	(void) result_datum(result, column, &isnull);
	return isnull;
}

bool
result_bool(SqlResult *result, const char *column)
{
	bool		isnull;
	Datum		value = result_datum(result, column, &isnull);

	return !isnull && DatumGetBool(value);
}

int32
result_int32(SqlResult *result, const char *column)
{
	bool		isnull;
	Datum		value = result_datum(result, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

int64
result_int64(SqlResult *result, const char *column)
{
	bool		isnull;
	Datum		value = result_datum(result, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

TimestampTz
result_time(SqlResult *result, const char *column)
{
	return result_int64(result, column);
}

char *
result_text(SqlResult *result, const char *column)
{
	return SPI_getvalue(result->table->vals[result->next - 1], result->table->tupdesc, find_column(result, column));
}

static Datum
datum_not_null(SqlResult *result, const char *column)
{
	bool		isnull;
	Datum		value = result_datum(result, column, &isnull);

	if (isnull)
		elog(ERROR, "column \"%s\" of a result is null", column);
	return value;
}

int
result_label(SqlResult *result, const char *column, CatalogType type)
{
	return catalog_label_of(type, datum_not_null(result, column));
}

Datum
result_varlena(SqlResult *result, const char *column)
{
	return PointerGetDatum(PG_DETOAST_DATUM(datum_not_null(result, column)));
}

/* The value of the first column of a row. */
static Datum
first_column(const SqlResult *result, uint64 row, bool *isnull)
{
	return heap_getattr(result->table->vals[row], 1, result->table->tupdesc, isnull);
}

static int64
first_int64(const SqlResult *result, uint64 row)
{
	bool		isnull;
	Datum		value = first_column(result, row, &isnull);

	if (isnull)
		elog(ERROR, "the value of a result is null");
	return DatumGetInt64(value);
}

bool
sql_get_int64(SqlStatement *statement, const Datum *values, int64 *value)
{
	SqlResult	result = sql_query(statement, values);

	if (result.n == 0)
		return false;
	*value = first_int64(&result, 0);
	return true;
}

Datum
sql_get_datum(SqlStatement *statement, const Datum *values, const char *nulls, bool *isnull)
{
	SqlResult	result = sql_query_with_nulls(statement, values, nulls);

	if (result.n != 1)
		elog(ERROR, "\"%s\" gave " UINT64_FORMAT " rows", statement->sql, result.n);
	return first_column(&result, 0, isnull);
}

Datum
sql_get_row(SqlStatement *statement, const Datum *values)
{
	bool		isnull;
	Datum		row = sql_get_datum(statement, values, NULL, &isnull);

	if (isnull)
		elog(ERROR, "\"%s\" gave null", statement->sql);
	return PointerGetDatum(PG_DETOAST_DATUM(row));
}

int64 *
sql_ids(SqlStatement *statement, const Datum *values, int *n)
{
	SqlResult	result = sql_query(statement, values);
	int64	   *ids = palloc(result.n * sizeof(int64));

	*n = (int) result.n;
	for (int i = 0; i < *n; i++)
		ids[i] = first_int64(&result, i);
	return ids;
}

Datum
sql_int8_array(const int64 *values, int n)
{
	Datum	   *elements = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
