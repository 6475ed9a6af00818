/*
 * row_writer.c
 *	  Inserting rows into the extension's tables without the executor, as the logical replication
 *	  worker applies rows: indexes, constraints, row security of nobody, and row triggers are served;
 *	  planning and executor start-up, which cost more than the row, are saved.  Statement triggers do not
 *	  fire, and defaults are not filled in.
 *
 * Two kinds of trigger are left out.  Foreign-key checks: every reference that is written here is to a
 * row that the same transaction has read, locked or written, and a row that is referred to cannot go
 * away meanwhile, since deleting it takes the gate, which the transaction holds (gate.h).  To check it
 * all the same would lock the row of a popular product for each of its orders.  And the gate's own
 * triggers, which are there for everybody else's writes.
 *
 * The caller has refused read-only transactions (gate_enter) before anything else.
 *
 * A table's CHECK constraints, and the bounds of a partition, are compiled once per backend and kept until
 * its definition changes: the executor reads and plans their stored form anew for every statement, which
 * for our tables costs as much as the insert.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/nodes.h"
#include "parser/parse_relation.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "compat.h"
#include "row_writer.h"
#include "spi_util.h"

typedef struct PreparedChecks
{
	Oid			relid;			/* hash key */
	bool		valid;
	MemoryContext context;		/* of the executor state the expressions live in */
	ExprState **expressions;	/* of each CHECK constraint */
	ExprState  *partition;		/* of the partition's bounds, or NULL */
} PreparedChecks;

static HTAB *prepared_checks = NULL;

/* A relation's definition has changed, or (InvalidOid) any may have. */
static void
forget_checks(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	PreparedChecks *checks;

	hash_seq_init(&scan, prepared_checks);
	while ((checks = hash_seq_search(&scan)) != NULL)
		if (relid == InvalidOid || checks->relid == relid)
			checks->valid = false;
}

static void
compile_checks(PreparedChecks *checks, Relation rel)
{
	MemoryContext caller = MemoryContextSwitchTo(checks->context);
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	EState	   *estate = CreateExecutorState();
	int			n = constr ? constr->num_check : 0;

	checks->expressions = palloc0(n * sizeof(ExprState *));
	for (int i = 0; i < n; i++)
		if (check_is_enforced(&constr->check[i]))
			checks->expressions[i] = ExecPrepareExpr(stringToNode(constr->check[i].ccbin), estate);
	checks->partition = NULL;
	if (rel->rd_rel->relispartition)
		checks->partition = ExecPrepareCheck(RelationGetPartitionQual(rel), estate);
	MemoryContextSwitchTo(caller);
}

/* The compiled constraints of a table that is open and locked. */
static PreparedChecks *
find_checks(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	PreparedChecks *checks;
	bool		found;

	if (prepared_checks == NULL)
	{
		HASHCTL		info = {.keysize = sizeof(Oid), .entrysize = sizeof(PreparedChecks)};

		prepared_checks = hash_create("commerce CHECK constraints", 32, &info, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget_checks, (Datum) 0);
	}
	checks = hash_search(prepared_checks, &relid, HASH_ENTER, &found);
	if (found && checks->valid)
		return checks;
	if (!found)
		checks->context = NULL;

	/* a writer further up, of the same table by way of a trigger, may be using the former ones */
	if (checks->context)
		MemoryContextSetParent(checks->context, TopTransactionContext);
	checks->context = NULL;
	checks->valid = false;
	checks->context = AllocSetContextCreate(CacheMemoryContext, "commerce CHECK constraints", ALLOCSET_SMALL_SIZES);
	compile_checks(checks, rel);
	checks->valid = true;
	return checks;
}

/* Leaves out the triggers that the file's header names; the list is the caller's own copy. */
static void
drop_own_triggers(ResultRelInfo *target)
{
	TriggerDesc *triggers = target->ri_TrigDesc;
	int			kept = 0;

	if (triggers == NULL)
		return;
	triggers->trig_insert_before_row = false;
	triggers->trig_insert_after_row = false;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgfoid == F_RI_FKEY_CHECK_INS || strcmp(trigger->tgname, "gate_write") == 0)
			continue;
		if (TRIGGER_FOR_INSERT(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype))
		{
			triggers->trig_insert_before_row |= TRIGGER_FOR_BEFORE(trigger->tgtype);
			triggers->trig_insert_after_row |= TRIGGER_FOR_AFTER(trigger->tgtype);
		}
		triggers->triggers[kept++] = *trigger;
	}
	triggers->numtriggers = kept;
}

void
row_writer_open(RowWriter *writer, const char *table, int ncolumns)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	PreparedChecks *checks;

	writer->rel = table_open(commerce_relation(table), RowExclusiveLock);
	writer->ncolumns = ncolumns;
	if (RelationGetNumberOfAttributes(writer->rel) < ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the installed library is newer than extension \"commerce\" in this database"),
				 errhint("Run ALTER EXTENSION commerce UPDATE.")));

	writer->estate = CreateExecutorState();
	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(writer->rel);
	rte->relkind = writer->rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	init_range_table(writer->estate, rte);
	writer->target = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->target, writer->rel, 1, NULL, 0);
	/* where triggers that fire after rows find it, and do not open the table again */
	writer->estate->es_opened_result_relations = list_make1(writer->target);
	checks = find_checks(writer->rel);
	result_rel_checks(writer->target) = checks->expressions;
	writer->target->ri_PartitionCheckExpr = checks->partition;
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	drop_own_triggers(writer->target);
	writer->fires_after = writer->target->ri_TrigDesc && writer->target->ri_TrigDesc->trig_insert_after_row;
	if (writer->fires_after)
		AfterTriggerBeginQuery();
	ExecOpenIndices(writer->target, false);
	writer->slot = ExecInitExtraTupleSlot(writer->estate, RelationGetDescr(writer->rel), &TTSOpsVirtual);
}

void
row_writer_insert(RowWriter *writer, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = writer->slot;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, RelationGetNumberOfAttributes(writer->rel));
	memcpy(slot->tts_values, values, writer->ncolumns * sizeof(Datum));
	if (nulls)
		memcpy(slot->tts_isnull, nulls, writer->ncolumns);
	else
		memset(slot->tts_isnull, false, writer->ncolumns);
	ExecStoreVirtualTuple(slot);
	ExecSimpleRelationInsert(writer->target, writer->estate, slot);
	ResetPerTupleExprContext(writer->estate);
}

void
row_writer_close(RowWriter *writer)
{
	if (writer->fires_after)
		AfterTriggerEndQuery(writer->estate);
	ExecCloseIndices(writer->target);
	ExecResetTupleTable(writer->estate->es_tupleTable, false);
	FreeExecutorState(writer->estate);
	table_close(writer->rel, NoLock);
	CommandCounterIncrement();
}

void
row_insert(const char *table, int ncolumns, const Datum *values, const bool *nulls)
{
	RowWriter	writer;

	row_writer_open(&writer, table, ncolumns);
	row_writer_insert(&writer, values, nulls);
	row_writer_close(&writer);
}

Datum
row_insert_returning(const char *table, int ncolumns, const Datum *values, const bool *nulls)
{
	RowWriter	writer;
	HeapTuple	tuple;
	Datum		row;

	row_writer_open(&writer, table, ncolumns);
	row_writer_insert(&writer, values, nulls);
	tuple = ExecCopySlotHeapTuple(writer.slot);
	row = heap_copy_tuple_as_datum(tuple, RelationGetDescr(writer.rel));
	heap_freetuple(tuple);
	row_writer_close(&writer);
	return row;
}
