/*
 * row_writer.c
 *	  Inserting rows into the extension's tables without the executor, as the logical replication
 *	  worker applies rows: indexes, constraints, row security of nobody, defaults of columns that somebody
 *	  has added, and row triggers are served; planning and executor start-up, which cost more than the
 *	  row, are saved: the one row of payments as a prepared INSERT makes an order cost 12 % more
 *	  instructions, and an order writes some 14 rows.  Statement triggers do not fire, and there are no
 *	  transition tables.
 *
 * Two kinds of trigger are left out.  Checks of the extension's own foreign keys: no key that is referred to is
 * changed here, and every reference that is written is to a row that the same transaction has read, locked or written, and a row that is
 * referred to cannot go away meanwhile, since deleting it takes the gate, which the transaction holds
 * (gate.h), or, of what is archived, the lock of the order's row, which it holds, too.  To check it all the same would lock the row of a popular product for each of its orders.
 * And the gate's own triggers, which are there for everybody else's writes.
 *
 * The caller has refused read-only transactions (gate_enter) before anything else.
 *
 * What a table's definition says (CHECK constraints, the bounds of a partition, defaults, predicates and expressions of
 * indexes, which triggers are left out) is compiled once per backend and kept until the definition changes: the executor reads and plans
 * the stored form anew for every statement, which for our tables costs as much as the insert.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/nodes.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/row_writer.h"

/*
 * What a table is written with: an executor's state, slots and so on, which cost as much to make as a row to write.  It
 * lives in a context of its own, below that of who writes, so that it goes with him if he fails.
 */
typedef struct RowWork
{
	MemoryContext context;
	EState	   *estate;
	ResultRelInfo *target;
	IndexInfo  *infos;			/* of indexes that are open */
	TupleDesc	desc;			/* of the slots: the table's own is not kept */
	TupleTableSlot *slots[ROWS_AT_ONCE];	/* of rows that wait to be written */
	int			nslots;
	TupleTableSlot *formed;		/* the one row that was written, as it was formed for that; NULL, or empty: it was not kept */
} RowWork;

/* Of an index of a table, in the order of the relation's list. */
typedef struct PreparedIndex
{
	Oid			oid;
	IndexInfo  *info;			/* to be copied, with its predicate and expressions compiled */
	int			ntests;			/* how many of the predicate's conditions are that a column is null, or is not */
	struct NullColumn *tests;
	bool		tests_alone;	/* it has no others */
} PreparedIndex;

/* That a column is to be null, or not to be. */
typedef struct NullColumn
{
	int			place;			/* in a row, from 0 */
	bool		null;
} NullColumn;

typedef struct PreparedTable
{
	MemoryContext context;		/* of this, and of the executor state the expressions live in */
	int			nchecks;
	ExprState **checks;			/* of each CHECK constraint */
	int			nrequired;
	int		   *required;		/* places of columns that must not be null */
	ExprState  *partition;		/* of the partition's bounds, or NULL */
	ExprState **defaults;		/* of each column; NULL: there is none */
	bool	   *left_out;		/* of each trigger */
	bool		has_triggers;	/* that may fire */
	bool		has_generated;	/* columns, which are stored */
	bool		has_domains;	/* as types of columns, of which defaults and constraints are the type's */
	int			nindexes;
	PreparedIndex *indexes;
	RowWork    *idle;			/* left from the last time, below context; or NULL */
} PreparedTable;

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

/* Whether a foreign key to one of the extension's tables is of another: that one is written by the extension, too. */
static bool
is_referred_to_by_own(Relation rel, const Trigger *trigger)
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
	return getExtensionOfObject(RelationRelationId, trigger->tgconstrrelid) ==
		getExtensionOfObject(RelationRelationId, RelationGetRelid(rel));
}

/* Whether a trigger is one of those that the file's header names. */
static bool
is_left_out(Relation rel, const Trigger *trigger, int ncolumns)
{
	if (trigger->tgfoid == F_RI_FKEY_CHECK_INS || trigger->tgfoid == F_RI_FKEY_CHECK_UPD)
		return is_own_reference(rel, trigger, ncolumns);
	if (trigger->tgfoid == F_RI_FKEY_NOACTION_UPD)
		return is_referred_to_by_own(rel, trigger);
	return trigger->tgfoid == catalog_trigger_function("gate_foreign_write");
}

/* Takes those conditions from an index's predicate that are cheap to test: most partial indexes are of a column that is not null. */
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

/* What is compiled of a table that is open and locked. */
static PreparedTable *
prepare_table(CatalogRelation table, Relation rel, int ncolumns)
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

/* The list of triggers is the caller's own copy. */
static void
drop_triggers(ResultRelInfo *target, const bool *left_out)
{
	TriggerDesc *triggers = target->ri_TrigDesc;
	int			kept = 0;

	if (triggers == NULL)
		return;
	triggers->trig_insert_before_row = false;
	triggers->trig_insert_after_row = false;
	triggers->trig_update_before_row = false;
	triggers->trig_update_after_row = false;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (left_out[i])
			continue;
		if (TRIGGER_FOR_INSERT(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype))
		{
			triggers->trig_insert_before_row |= TRIGGER_FOR_BEFORE(trigger->tgtype);
			triggers->trig_insert_after_row |= TRIGGER_FOR_AFTER(trigger->tgtype);
		}
		if (TRIGGER_FOR_UPDATE(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype))
		{
			triggers->trig_update_before_row |= TRIGGER_FOR_BEFORE(trigger->tgtype);
			triggers->trig_update_after_row |= TRIGGER_FOR_AFTER(trigger->tgtype);
		}
		triggers->triggers[kept++] = *trigger;
	}
	triggers->numtriggers = kept;
}

void
row_put_text(Row *row, int column, const char *text)
{
	if (text != NULL)
		row_put(row, column, CStringGetTextDatum(text));
}

/* Makes what a table is written with, in a child of the current context. */
static RowWork *
make_work(const PreparedTable *prepared, Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "commerce row", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	RowWork    *work = palloc0(sizeof(RowWork));
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	ResultRelInfo *target = makeNode(ResultRelInfo);

	work->context = context;
	work->estate = CreateExecutorState();
	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	init_range_table(work->estate, rte);
	work->target = target;
	/* where triggers that fire after rows find it, and do not open the table again */
	work->estate->es_opened_result_relations = list_make1(target);
	if (prepared->has_triggers)
	{
		InitResultRelInfo(target, rel, 1, NULL, 0);
		drop_triggers(target, prepared->left_out);
	}
	target->ri_RangeTableIndex = 1;
	target->ri_NumIndices = prepared->nindexes;
	target->ri_IndexRelationDescs = palloc0(prepared->nindexes * sizeof(Relation));
	target->ri_IndexRelationInfo = palloc0(prepared->nindexes * sizeof(IndexInfo *));
	result_rel_checks(target) = prepared->checks;
	target->ri_PartitionCheckExpr = prepared->partition;
	work->infos = palloc(prepared->nindexes * sizeof(IndexInfo));
	work->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	MemoryContextSwitchTo(caller);
	return work;
}

/* What a table is written with; that of the last time, unless a writer further up has it, or it went with an error. */
static RowWork *
take_work(PreparedTable *prepared, Relation rel)
{
	RowWork    *work = prepared->idle;

	if (work)
	{
		prepared->idle = NULL;
		MemoryContextSetParent(work->context, CurrentMemoryContext);
	}
	else
		work = make_work(prepared, rel);
	work->target->ri_RelationDesc = rel;
	work->estate->es_output_cid = GetCurrentCommandId(true);
	return work;
}

/* Keeps it for the next time, unless triggers or columns that are generated may have left something in it. */
static void
give_work_back(PreparedTable *prepared, RowWork *work)
{
	if (prepared->has_triggers || prepared->has_generated || prepared->idle)
	{
		ExecResetTupleTable(work->estate->es_tupleTable, false);
		FreeExecutorState(work->estate);
		MemoryContextDelete(work->context);
		return;
	}
	for (int i = 0; i < work->nslots; i++)
		ExecClearTuple(work->slots[i]);
	if (work->formed)
		ExecClearTuple(work->formed);
	ReScanExprContext(GetPerTupleExprContext(work->estate));
	updated_columns(work->estate) = NULL;
	MemoryContextSetParent(work->context, prepared->context);
	prepared->idle = work;
}

/* The slot of a row that waits. */
static TupleTableSlot *
slot_of(RowWork *work, int row)
{
	if (row == work->nslots)
	{
		MemoryContext caller = MemoryContextSwitchTo(work->context);

		work->slots[work->nslots++] = MakeSingleTupleTableSlot(work->desc, &TTSOpsVirtual);
		MemoryContextSwitchTo(caller);
	}
	return work->slots[row];
}

/* Whether a row, which the context has, too, has an entry in an index. */
static bool
has_entry(const PreparedIndex *index, const TupleTableSlot *slot, ExprContext *context)
{
	for (int i = 0; i < index->ntests; i++)
		if (slot->tts_isnull[index->tests[i].place] != index->tests[i].null)
			return false;
	return index->tests_alone || ExecQual(index->info->ii_PredicateState, context);
}

/*
 * Opens those indexes that have an entry for a row, or all (NULL): a partial index that has none would cost a lock.  All
 * where the row may change on its way.
 */
void
row_writer_open_indexes(RowWriter *writer, TupleTableSlot *slot)
{
	ResultRelInfo *target = writer->target;
	ExprContext *context = GetPerTupleExprContext(writer->estate);

	context->ecxt_scantuple = slot;
	for (int i = 0; i < target->ri_NumIndices; i++)
	{
		const PreparedIndex *prepared = &writer->prepared->indexes[i];
		IndexInfo  *info;

		if (target->ri_IndexRelationDescs[i] || (slot && !has_entry(prepared, slot, context)))
			continue;
		target->ri_IndexRelationDescs[i] = index_open(prepared->oid, RowExclusiveLock);
		info = &writer->work->infos[i];
		*info = *prepared->info;
		info->ii_Context = CurrentMemoryContext;
		/* as it is now, whether or not the table has heard of it: it must not miss a row */
		info->ii_ReadyForInserts = target->ri_IndexRelationDescs[i]->rd_index->indisready;
		target->ri_IndexRelationInfo[i] = info;
	}
}

static void
close_indexes(ResultRelInfo *target)
{
	for (int i = 0; i < target->ri_NumIndices; i++)
		if (target->ri_IndexRelationDescs[i])
		{
			end_index_inserts(target->ri_IndexRelationDescs[i], target->ri_IndexRelationInfo[i]);
			index_close(target->ri_IndexRelationDescs[i], RowExclusiveLock);
			target->ri_IndexRelationDescs[i] = NULL;
		}
}

void
row_writer_open(RowWriter *writer, CatalogRelation table, int ncolumns)
{
	Relation	rel = table_open(catalog_relation(table), RowExclusiveLock);
	PreparedTable *prepared;
	const TriggerDesc *triggers;

	if (RelationGetNumberOfAttributes(rel) < ncolumns)
		elog(ERROR, "table \"%s\" has less than %d columns", RelationGetRelationName(rel), ncolumns);
	prepared = prepare_table(table, rel, ncolumns);
	writer->rel = rel;
	writer->ncolumns = ncolumns;
	writer->prepared = prepared;
	writer->work = take_work(prepared, rel);
	writer->estate = writer->work->estate;
	writer->target = writer->work->target;
	writer->slot = slot_of(writer->work, 0);
	writer->nwaiting = 0;
	triggers = writer->target->ri_TrigDesc;
	writer->fires_after = triggers && (triggers->trig_insert_after_row || triggers->trig_update_after_row);
	if (writer->fires_after)
		AfterTriggerBeginQuery();
	writer->is_plain = !prepared->has_triggers && !prepared->has_generated && !rel->rd_rel->relispartition;
	writer->one_by_one = (triggers && triggers->trig_insert_before_row) || prepared->has_generated;
	if (writer->one_by_one)
		row_writer_open_indexes(writer, NULL);
}

void
row_writer_require_written(RowWriter *writer)
{
	if (ItemPointerIsValid(&writer->slot->tts_tid))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("a trigger has kept a row out of table \"%s\"", RelationGetRelationName(writer->rel)),
			 errdetail("What commerce writes belongs together: all of it is written, or nothing.")));
}

/* Puts a row into a slot, with the defaults of the columns that the caller does not know. */
static void
fill_slot(RowWriter *writer, TupleTableSlot *slot, const Row *row)
{
	int			natts = RelationGetNumberOfAttributes(writer->rel);

	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, writer->ncolumns * sizeof(Datum));
	for (int i = 0; i < writer->ncolumns; i++)
		slot->tts_isnull[i] = !row->filled[i];
	for (int i = writer->ncolumns; i < natts; i++)
		if (!writer->prepared->defaults[i])
			slot->tts_isnull[i] = true;
		else
			slot->tts_values[i] = ExecEvalExpr(writer->prepared->defaults[i], GetPerTupleExprContext(writer->estate),
											   &slot->tts_isnull[i]);
	ExecStoreVirtualTuple(slot);
	ItemPointerSetInvalid(&slot->tts_tid);
}

/* Writes a row, and keeps it as it was formed. */
static void
write_formed(RowWriter *writer, TupleTableSlot *slot)
{
	RowWork    *work = writer->work;

	if (work->formed == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(work->context);

		work->formed = MakeSingleTupleTableSlot(work->desc, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(caller);
	}
	ExecStoreHeapTuple(ExecCopySlotHeapTuple(slot), work->formed, true);
	simple_table_tuple_insert(writer->rel, work->formed);
	slot->tts_tid = work->formed->tts_tid;
	slot->tts_tableOid = work->formed->tts_tableOid;
}

/*
 * Writes the rows that wait, as COPY does: those that fit on one page by one WAL record, then the entries of each in the
 * indexes.  returning: the last one will be asked for.
 */
static void
write_waiting(RowWriter *writer, bool returning)
{
	TupleTableSlot **slots = writer->work->slots;

	if (writer->nwaiting == 0)
		return;
	if (writer->work->formed)
		ExecClearTuple(writer->work->formed);
	if (writer->nwaiting > 1)
		table_multi_insert(writer->rel, slots, writer->nwaiting, writer->estate->es_output_cid, 0, NULL);
	else if (returning)
		write_formed(writer, slots[0]);
	else
		simple_table_tuple_insert(writer->rel, slots[0]);
	for (int i = 0; i < writer->nwaiting; i++)
	{
		TupleTableSlot *slot = slots[i];
		List	   *recheck;

		row_writer_open_indexes(writer, slot);
		recheck = insert_index_entries(writer->target, slot, writer->estate);
		ExecARInsertTriggers(writer->estate, writer->target, slot, recheck, NULL);
		list_free(recheck);
	}
	writer->slot = slots[writer->nwaiting - 1];
	writer->nwaiting = 0;
	ResetPerTupleExprContext(writer->estate);
}

/* Writes a row that triggers may change, or that has columns to be generated. */
static void
write_at_once(RowWriter *writer)
{
	ExecSimpleRelationInsert(writer->target, writer->estate, writer->slot);
	row_writer_require_written(writer);
	ResetPerTupleExprContext(writer->estate);
}

/* Whether a row has what it must have, and keeps to all CHECK constraints. */
static bool
is_allowed(const RowWriter *writer, TupleTableSlot *slot)
{
	const PreparedTable *prepared = writer->prepared;
	ExprContext *context = GetPerTupleExprContext(writer->estate);

	for (int i = 0; i < prepared->nrequired; i++)
		if (slot->tts_isnull[prepared->required[i]])
			return false;
	context->ecxt_scantuple = slot;
	for (int i = 0; i < prepared->nchecks; i++)
		if (prepared->checks[i] && !ExecCheck(prepared->checks[i], context))
			return false;
	return true;
}

void
row_writer_require_allowed(RowWriter *writer, TupleTableSlot *slot)
{
	if (!is_allowed(writer, slot))
		ExecConstraints(writer->target, slot, writer->estate);
}

void
row_writer_insert(RowWriter *writer, const Row *row)
{
	TupleTableSlot *slot;

	if (writer->one_by_one)
	{
		fill_slot(writer, writer->slot, row);
		write_at_once(writer);
		return;
	}
	if (writer->nwaiting == ROWS_AT_ONCE)
		write_waiting(writer, false);
	slot = slot_of(writer->work, writer->nwaiting);
	fill_slot(writer, slot, row);
	row_writer_require_allowed(writer, slot);
	if (writer->rel->rd_rel->relispartition)
		ExecPartitionCheck(writer->target, slot, writer->estate, true);
	writer->nwaiting++;
}

Datum
row_writer_row(RowWriter *writer)
{
	RowWork    *work = writer->work;

	write_waiting(writer, true);
	if (work->formed && !TTS_EMPTY(work->formed))
		return heap_copy_tuple_as_datum(ExecFetchSlotHeapTuple(work->formed, false, NULL), work->desc);
	return HeapTupleGetDatum(ExecCopySlotHeapTuple(writer->slot));
}

void
row_writer_close(RowWriter *writer)
{
	write_waiting(writer, false);
	if (writer->fires_after)
		AfterTriggerEndQuery(writer->estate);
	close_indexes(writer->target);
	give_work_back(writer->prepared, writer->work);
	table_close(writer->rel, NoLock);
	CommandCounterIncrement();
}

void
row_insert(CatalogRelation table, int ncolumns, const Row *row)
{
	RowWriter	writer;

	row_writer_open(&writer, table, ncolumns);
	row_writer_insert(&writer, row);
	row_writer_close(&writer);
}

Datum
row_insert_returning(CatalogRelation table, int ncolumns, const Row *row)
{
	RowWriter	writer;
	Datum		inserted;

	row_writer_open(&writer, table, ncolumns);
	row_writer_insert(&writer, row);
	inserted = row_writer_row(&writer);
	row_writer_close(&writer);
	return inserted;
}
