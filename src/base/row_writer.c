/*
 * row_writer.c
 *	  Inserting rows into the extension's tables without the executor, as the logical replication
 *	  worker applies rows: indexes, constraints, row security of nobody, defaults of columns that somebody
 *	  has added, and row triggers are served; planning and executor start-up, which cost more than the
 *	  row, are saved: the one row of payments as a prepared INSERT makes an order cost 12 % more
 *	  instructions, and an order writes some 14 rows.  Statement triggers do not fire, and there are no
 *	  transition tables.  What the table asks of a row, and which triggers do not fire, says row_table.c.
 *
 * The caller has refused read-only transactions (gate_enter) before anything else.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/nodes.h"
#include "parser/parse_relation.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "base/row_table.h"
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

		if (target->ri_IndexRelationDescs[i] || (slot && !row_table_has_entry(prepared, slot, context)))
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
	prepared = row_table_prepare(table, rel, ncolumns);
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

void
row_writer_require_allowed(RowWriter *writer, TupleTableSlot *slot)
{
	if (!row_table_allows(writer->prepared, slot, GetPerTupleExprContext(writer->estate)))
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
