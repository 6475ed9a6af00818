/*
 * sql.c
 *	  SQL statements that are planned once per backend, and the names of our own objects.
 *
 * Statements are planned generically: their plans are index lookups by key whatever the values are, and
 * however many rows the tables have.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/sql.h"

#define LARGE_TABLE_ROWS	1000000.0

/* Marks, among the options of a cursor, the statements that are ours; PostgreSQL passes it on. */
#define CURSOR_OPT_LARGE_SHOP	(1 << 30)

static planner_hook_type previous_planner_hook = NULL;
static get_relation_info_hook_type previous_relation_info_hook = NULL;

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
assume_large(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	ListCell   *cell;

	if (previous_relation_info_hook)
		previous_relation_info_hook(root, relid, inhparent, rel);
	if (!planning_large_shop)
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
make_plan(Query *query, const char *sql, int options, ParamListInfo params)
{
	return previous_planner_hook ? previous_planner_hook(query, sql, options, params)
		: standard_planner(query, sql, options, params);
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
plan_large_shop(Query *query, const char *sql, int options, ParamListInfo params)
{
	PlannedStmt *plan;
	bool		outer = planning_large_shop;
	int			level;

	if (!(options & CURSOR_OPT_LARGE_SHOP))
		return make_plan(query, sql, options, params);

	level = NewGUCNestLevel();
	disable("enable_seqscan");
	disable("enable_hashjoin");
	disable("enable_mergejoin");
	disable("jit");
	planning_large_shop = true;
	PG_TRY();
	{
		plan = make_plan(query, sql, options, params);
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
	previous_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = assume_large;
}

static uint64
execute(SqlStatement *statement, Datum *values, const char *nulls, bool read_only)
{
	int			code;

	prepare(statement);
	code = SPI_execute_plan(statement->plan, values, nulls, read_only, 0);
	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->sql, SPI_result_code_string(code));
	return SPI_processed;
}

uint64
sql_execute(SqlStatement *statement, Datum *values, const char *nulls)
{
	return execute(statement, values, nulls, false);
}

uint64
sql_read(SqlStatement *statement, Datum *values, const char *nulls)
{
	return execute(statement, values, nulls, true);
}

uint64
sql_execute_latest(SqlStatement *statement, Datum *values, const char *nulls)
{
	int			code;

	prepare(statement);

	/* make our own writes visible to the snapshot */
	CommandCounterIncrement();
	code = SPI_execute_snapshot(statement->plan, values, nulls, GetLatestSnapshot(),
								InvalidSnapshot, false, true, 0);
	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->sql, SPI_result_code_string(code));
	return SPI_processed;
}

Datum
sql_datum(uint64 row, int col, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col, isnull);
}

int64
sql_int64(uint64 row, int col)
{
	bool		isnull;
	Datum		value = sql_datum(row, col, &isnull);

	if (isnull)
		elog(ERROR, "column %d of a result is null", col);
	return DatumGetInt64(value);
}

TimestampTz
sql_time(uint64 row, int col)
{
	return sql_int64(row, col);
}

bool
sql_bool(uint64 row, int col)
{
	bool		isnull;
	Datum		value = sql_datum(row, col, &isnull);

	return !isnull && DatumGetBool(value);
}

bool
sql_is_null(uint64 row, int col)
{
	bool		isnull;

	(void) sql_datum(row, col, &isnull);
	return isnull;
}

char *
sql_text(uint64 row, int col)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col);
}

Datum
sql_transfer(uint64 row, int col)
{
	bool		isnull;
	Datum		value = sql_datum(row, col, &isnull);

	if (isnull)
		elog(ERROR, "column %d of a result is null", col);
	return SPI_datumTransfer(PointerGetDatum(PG_DETOAST_DATUM(value)), false, -1);
}

Datum
sql_int8_array(const int64 *values, int n)
{
	Datum	   *elements = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

int64 *
sql_ids(SqlStatement *statement, Datum *values, int *n)
{
	MemoryContext caller = CurrentMemoryContext;
	int64	   *ids;

	SPI_connect();
	*n = (int) sql_execute(statement, values, NULL);
	ids = MemoryContextAlloc(caller, *n * sizeof(int64));
	for (int i = 0; i < *n; i++)
		ids[i] = sql_int64(i, 1);
	SPI_finish();
	return ids;
}

static Oid
commerce_namespace(void)
{
	return get_namespace_oid("commerce", false);
}

static Oid
private_namespace(void)
{
	return get_namespace_oid("commerce_private", false);
}

Oid
commerce_relation(const char *name)
{
	Oid			relid = get_relname_relid(name, commerce_namespace());

	/* no name is in both schemas */
	if (!OidIsValid(relid))
		relid = get_relname_relid(name, private_namespace());
	if (!OidIsValid(relid))
		elog(ERROR, "relation %s of commerce does not exist", name);
	return relid;
}

static Oid
commerce_type(const char *name)
{
	Oid			typid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
										ObjectIdGetDatum(commerce_namespace()));

	if (!OidIsValid(typid))
		elog(ERROR, "type commerce.%s does not exist", name);
	return typid;
}

Oid
commerce_enum_value(const char *type, const char *label)
{
	Oid			value = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
										ObjectIdGetDatum(commerce_type(type)), CStringGetDatum(label));

	if (!OidIsValid(value))
		elog(ERROR, "type commerce.%s has no value \"%s\"", type, label);
	return value;
}

Oid
commerce_trigger_function(const char *name)
{
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
										   PointerGetDatum(buildoidvector(NULL, 0)),
										   ObjectIdGetDatum(private_namespace()));

	if (!OidIsValid(function))
		elog(ERROR, "function commerce_private.%s() does not exist", name);
	return function;
}

int64
commerce_nextval(const char *sequence)
{
	return nextval_internal(commerce_relation(sequence), false);
}
