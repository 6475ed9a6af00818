/*
 * row_table.c
 *	  What a table's definition asks of a row that is written without the executor (row_writer.c).
 *
 * What a table's definition says (CHECK constraints, the bounds of a partition, defaults, predicates and expressions of
 * indexes, which triggers are left out) is compiled once per backend and kept until the definition changes: the
 * executor reads and plans the stored form anew for every statement, which for our tables costs as much as the insert.
 *
 * Two kinds of trigger are left out.  Checks of the extension's own foreign keys: no key that is referred to is
 * changed here, and every reference that is written is to a row that the same transaction has read, locked or written,
 * and a row that is referred to cannot go away meanwhile, since deleting it takes the gate, which the transaction holds
 * (gate.h), or, of what is archived, the lock of the order's row, which it holds, too.  To check it all the same would
 * lock the row of a popular product for each of its orders.  And the gate's own triggers, which are there for everybody else's writes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/primnodes.h"
#include "rewrite/rewriteHandler.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/row_table.h"

typedef struct KeptTable
{
	Oid			relid;			/* of which this was compiled */
	bool		valid;
	PreparedTable *prepared;	/* or NULL */
} KeptTable;

static KeptTable kept_tables[CATALOG_RELATIONS];
static bool callbacks_registered = false;
static uint64 changes = 0;		/* of anything that tables are compiled from */

/* A relation's definition has changed, or (InvalidOid) any may have. */
static void
forget_table(Datum arg, Oid relid)
{
	changes++;
	for (int i = 0; i < CATALOG_RELATIONS; i++)
		if (relid == InvalidOid || kept_tables[i].relid == relid)
			kept_tables[i].valid = false;
}

/* A function has changed, which may be part of what was compiled. */
static void
forget_all_tables(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_table(arg, InvalidOid);
}

/* A type has changed, as a domain does; temporary tables have types, too, and these matter to nobody. */
static void
forget_tables_with_domains(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
	for (int i = 0; i < CATALOG_RELATIONS; i++)
		if (kept_tables[i].prepared && kept_tables[i].prepared->has_domains)
			kept_tables[i].valid = false;
}

/* Whether the other table of a foreign key belongs to the same extension: that one is written by it, too. */
static bool
has_own_counterpart(Relation rel, const Trigger *trigger)
{
	return getExtensionOfObject(RelationRelationId, trigger->tgconstrrelid) ==
		getExtensionOfObject(RelationRelationId, RelationGetRelid(rel));
}

/* Whether a foreign key is the extension's own: of columns that it writes, to a table that is part of it. */
static bool
is_own_reference(Relation rel, const Trigger *trigger, int ncolumns)
{
	HeapTuple	constraint = SearchSysCache1(CONSTROID, ObjectIdGetDatum(trigger->tgconstraint));
	AttrNumber	columns[INDEX_MAX_KEYS];
	AttrNumber	referred[INDEX_MAX_KEYS];
	int			n;

	if (!HeapTupleIsValid(constraint))
		elog(ERROR, "constraint %u does not exist", trigger->tgconstraint);
	DeconstructFkConstraintRow(constraint, &n, columns, referred, NULL, NULL, NULL, NULL, NULL);
	ReleaseSysCache(constraint);
	for (int i = 0; i < n; i++)
		if (columns[i] > ncolumns)
			return false;
	return has_own_counterpart(rel, trigger);
}

/* Whether a trigger is one of those that the file's header names. */
static bool
is_left_out(Relation rel, const Trigger *trigger, int ncolumns)
{
	if (trigger->tgfoid == F_RI_FKEY_CHECK_INS || trigger->tgfoid == F_RI_FKEY_CHECK_UPD)
		return is_own_reference(rel, trigger, ncolumns);
	if (trigger->tgfoid == F_RI_FKEY_NOACTION_UPD)
		return has_own_counterpart(rel, trigger);
	return trigger->tgfoid == catalog_trigger_function("gate_foreign_write");
}

/*
 * Takes those conditions from an index's predicate that are cheap to test: most partial indexes are of a column that
 * is not null.
 */
static void
take_tests(PreparedIndex *index)
{
	ListCell   *cell;

	index->tests = palloc(list_length(index->info->ii_Predicate) * sizeof(NullColumn));
	foreach(cell, index->info->ii_Predicate)
	{
		const NullTest *test = lfirst(cell);

		if (IsA(test, NullTest) && !test->argisrow && IsA(test->arg, Var) && ((Var *) test->arg)->varattno > 0)
			index->tests[index->ntests++] = (NullColumn) {
				((Var *) test->arg)->varattno - 1, test->nulltesttype == IS_NULL
			};
	}
	index->tests_alone = index->ntests == list_length(index->info->ii_Predicate);
}

/* Compiles what a table's indexes need of a row. */
static void
compile_indexes(PreparedTable *table, Relation rel, EState *estate)
{
	List	   *oids = RelationGetIndexList(rel);
	ListCell   *cell;

	table->indexes = palloc0(list_length(oids) * sizeof(PreparedIndex));
	foreach(cell, oids)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		IndexInfo  *info = BuildIndexInfo(index);

		if (info->ii_Predicate != NIL)
			info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, estate);
		if (info->ii_Expressions != NIL)
			info->ii_ExpressionsState = ExecPrepareExprList(info->ii_Expressions, estate);
		table->indexes[table->nindexes] = (PreparedIndex) {.oid = RelationGetRelid(index), .info = info};
		take_tests(&table->indexes[table->nindexes++]);
		index_close(index, AccessShareLock);
	}
}

/*
 * Compiles in a child of the current context.  Functions that are folded to constants are called here, and
 * may do anything.  The list of triggers is copied; the relation's own can go away with any look into the catalog.
 */
static PreparedTable *
compile_table(Relation rel, int ncolumns)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "commerce table", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	PreparedTable *table = palloc0(sizeof(PreparedTable));
	const TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);
	TupleDesc	desc = RelationGetDescr(rel);
	TupleConstr *constr = desc->constr;
	EState	   *estate = CreateExecutorState();
	int			ntriggers = triggers ? triggers->numtriggers : 0;

	table->context = context;
	table->nchecks = constr ? constr->num_check : 0;
	table->checks = palloc0(table->nchecks * sizeof(ExprState *));
	for (int i = 0; i < table->nchecks; i++)
		if (check_is_enforced(&constr->check[i]))
			table->checks[i] = ExecPrepareExpr(check_expression(&constr->check[i], rel), estate);
	if (rel->rd_rel->relispartition)
		table->partition = ExecPrepareCheck(RelationGetPartitionQual(rel), estate);
	table->required = palloc(desc->natts * sizeof(int));
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attnotnull)
			table->required[table->nrequired++] = i;
	table->defaults = palloc0(desc->natts * sizeof(ExprState *));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		Node	   *expression = NULL;

		if (!column->attisdropped && get_typtype(column->atttypid) == TYPTYPE_DOMAIN)
			table->has_domains = true;
		if (!column->attisdropped && !column->attgenerated)
			expression = build_column_default(rel, i + 1);
		if (expression)
			table->defaults[i] = ExecPrepareExpr((Expr *) expression, estate);
	}
	table->left_out = palloc(ntriggers * sizeof(bool));
	for (int i = 0; i < ntriggers; i++)
	{
		int16		type = triggers->triggers[i].tgtype;

		table->left_out[i] = is_left_out(rel, &triggers->triggers[i], ncolumns);
		table->has_triggers |= !table->left_out[i] && TRIGGER_FOR_ROW(type) &&
			(TRIGGER_FOR_INSERT(type) || TRIGGER_FOR_UPDATE(type));
	}
	table->has_generated = constr && constr->has_generated_stored;
	compile_indexes(table, rel, estate);
	MemoryContextSwitchTo(caller);
	return table;
}

static void
register_callbacks(void)
{
	if (callbacks_registered)
		return;
	CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, forget_all_tables, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, forget_tables_with_domains, (Datum) 0);
	callbacks_registered = true;
}

PreparedTable *
row_table_prepare(CatalogRelation table, Relation rel, int ncolumns)
{
	KeptTable  *kept = &kept_tables[table];
	PreparedTable *prepared;
	uint64		changes_before;

	if (kept->valid && kept->relid == RelationGetRelid(rel))
		return kept->prepared;

	register_callbacks();
	changes_before = changes;
	prepared = compile_table(rel, ncolumns);
	/* a writer further up, of the same table by way of a trigger, may be using the former ones */
	if (kept->prepared)
		MemoryContextSetParent(kept->prepared->context, TopTransactionContext);
	MemoryContextSetParent(prepared->context, CacheMemoryContext);
	kept->prepared = prepared;
	kept->relid = RelationGetRelid(rel);
	kept->valid = (changes == changes_before);
	return prepared;
}

bool
row_table_has_entry(const PreparedIndex *index, const TupleTableSlot *slot, ExprContext *context)
{
	for (int i = 0; i < index->ntests; i++)
		if (slot->tts_isnull[index->tests[i].place] != index->tests[i].null)
			return false;
	return index->tests_alone || ExecQual(index->info->ii_PredicateState, context);
}

bool
row_table_allows(const PreparedTable *table, TupleTableSlot *slot, ExprContext *context)
{
	for (int i = 0; i < table->nrequired; i++)
		if (slot->tts_isnull[table->required[i]])
			return false;
	context->ecxt_scantuple = slot;
	for (int i = 0; i < table->nchecks; i++)
		if (table->checks[i] && !ExecCheck(table->checks[i], context))
			return false;
	return true;
}
