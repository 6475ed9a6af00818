/*
 * row_update.c
 *	  Locking and changing one row of the extension's tables without the executor, as row_writer.c inserts: for
 *	  the user's row, which every order, charge and claim locks or changes.  As a prepared UPDATE it was a seventh of
 *	  an order's instructions, half of that the reading of the table's CHECK constraints from text.
 *
 * Where nobody has to be waited for, and nothing but the row is read, the row is changed without its lock before, which
 * is a WAL record of its own; the caller begins anew with the lock when somebody else was quicker.
 *
 * The lock is the executor's: a concurrent change is waited for and then read at READ COMMITTED, and a serialization
 * failure above that.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/row_update.h"

/* Somebody else has changed a row since it was read. */
static void
require_read_committed(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
}

/* Locks the row that a reader is at, and takes the reader to its newest version. */
static bool
lock_found(RowReader *reader, bool skip_locked)
{
	ItemPointerData tid = reader->slot->tts_tid;
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	TM_FailureData failure;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	switch (table_tuple_lock(reader->rel, &tid, GetActiveSnapshot(), reader->slot, GetCurrentCommandId(false),
							 LockTupleNoKeyExclusive, skip_locked ? LockWaitSkip : LockWaitBlock, flags, &failure))
	{
		case TM_Ok:
			return true;
		case TM_WouldBlock:
			return false;
		case TM_Updated:
		case TM_Deleted:
			require_read_committed();
			return false;
		default:
			elog(ERROR, "a row of \"%s\" could not be locked", RelationGetRelationName(reader->rel));
	}
}

static void
close_reader(RowReader *reader)
{
	row_reader_close(reader);
	PopActiveSnapshot();
}

static bool
find(RowReader *reader, Relation rel, CatalogRelation index, int column, int64 id, RowPlace *place)
{
	row_push_snapshot();
	if (row_reader_find_in(reader, rel, index, column, id, place))
		return true;
	close_reader(reader);
	return false;
}

static bool
find_and_lock(RowReader *reader, Relation rel, CatalogRelation index, int column, int64 id, RowPlace *place, bool skip_locked)
{
	if (!find(reader, rel, index, column, id, place))
		return false;
	if (lock_found(reader, skip_locked))
		return true;
	close_reader(reader);
	return false;
}

bool
row_lock_found(RowReader *reader, bool skip_locked)
{
	if (reader->lock != RowShareLock)
		LockRelationOid(RelationGetRelid(reader->rel), RowShareLock);
	return lock_found(reader, skip_locked);
}

bool
row_lock(CatalogRelation table, CatalogRelation index, int column, int64 id, RowPlace *place, bool skip_locked)
{
	RowReader	reader;
	Relation	rel = table_open(catalog_relation(table), RowShareLock);
	bool		locked = find_and_lock(&reader, rel, index, column, id, place, skip_locked);

	if (locked)
		close_reader(&reader);
	table_close(rel, NoLock);
	return locked;
}

bool
row_update_open(RowUpdate *update, CatalogRelation table, int ncolumns, CatalogRelation index, int column, int64 id,
				RowPlace *place, bool lock)
{
	TupleTableSlot *old;
	TupleTableSlot *new;

	update->changed = false;
	row_writer_open(&update->writer, table, ncolumns);
	update->locked = lock || !update->writer.is_plain;
	if (!(update->locked ?
		  find_and_lock(&update->reader, update->writer.rel, index, column, id, place, false) :
		  find(&update->reader, update->writer.rel, index, column, id, place)))
	{
		row_writer_close(&update->writer);
		return false;
	}
	/* triggers lock the row as it is found here, which the command that calls us may have written */
	update->writer.estate->es_output_cid = GetCurrentCommandId(true);
	old = update->reader.slot;
	new = update->writer.slot;
	slot_getallattrs(old);
	ExecClearTuple(new);
	memcpy(new->tts_values, old->tts_values, new->tts_tupleDescriptor->natts * sizeof(Datum));
	memcpy(new->tts_isnull, old->tts_isnull, new->tts_tupleDescriptor->natts * sizeof(bool));
	update->kept = (Row) {0};
	row_put_int64(&update->kept, column, id);
	return true;
}

static void
put(RowUpdate *update, int column, Datum value)
{
	add_updated_column(update->writer.estate, column);
	update->writer.slot->tts_values[column - 1] = value;
	update->writer.slot->tts_isnull[column - 1] = false;
	update->changed = true;
}

void
row_update_put_int64(RowUpdate *update, int column, int64 value)
{
	put(update, column, Int64GetDatum(value));
	row_put_int64(&update->kept, column, value);
}

void
row_update_put_label(RowUpdate *update, int column, CatalogType type, int label)
{
	put(update, column, catalog_label(type, label));
	row_put_label(&update->kept, column, type, label);
}

void
row_update_put_time(RowUpdate *update, int column, TimestampTz at)
{
	put(update, column, TimestampTzGetDatum(at));
}

/* Raises an error if a trigger has written other numbers or labels: entries and events tell of those that were put. */
static void
require_kept(RowUpdate *update)
{
	const TupleTableSlot *new = update->writer.slot;

	for (int i = 0; i < update->writer.ncolumns; i++)
		if (update->kept.filled[i] &&
			(new->tts_isnull[i] || new->tts_values[i] != update->kept.values[i]))
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
					 errmsg("a trigger has changed \"%s\" of a row of table \"%s\"",
							NameStr(TupleDescAttr(new->tts_tupleDescriptor, i)->attname),
							RelationGetRelationName(update->writer.rel)),
					 errdetail("What commerce writes belongs together: all of it is written, or nothing.")));
}

/*
 * Stores the new version as it is, unless somebody else has changed the row; its indexes are opened only if they get
 * entries: mostly the update is HOT.
 */
static bool
store_plain(RowUpdate *update)
{
	RowWriter  *writer = &update->writer;
	TM_FailureData failure;
	LockTupleMode mode;
	IndexUpdate index_update;
	TM_Result	result;

	CheckCmdReplicaIdentity(writer->rel, CMD_UPDATE);
	row_writer_require_allowed(writer, writer->slot);
	result = update_tuple(writer->rel, &update->reader.slot->tts_tid, writer->slot, writer->estate->es_output_cid,
						  &failure, &mode, &index_update);
	if (result == TM_Updated || result == TM_Deleted)
	{
		require_read_committed();
		return false;
	}
	if (result != TM_Ok)
		elog(ERROR, "a row of \"%s\" could not be changed", RelationGetRelationName(writer->rel));
	if (needs_index_entries(index_update))
	{
		row_writer_open_indexes(writer, writer->slot);
		list_free(update_index_entries(writer->target, writer->slot, writer->estate, index_update));
	}
	return true;
}

/* Stores the new version of a table that has triggers or generated columns. */
static void
store(RowUpdate *update)
{
	EState	   *estate = update->writer.estate;
	EPQState	epq;

	row_writer_open_indexes(&update->writer, NULL);
	init_recheck(&epq, estate);
	ExecSimpleRelationUpdate(update->writer.target, estate, &epq, update->reader.slot, update->writer.slot);
	EvalPlanQualEnd(&epq);
}

static bool
write_row(RowUpdate *update)
{
	ExecStoreVirtualTuple(update->writer.slot);
	ItemPointerSetInvalid(&update->writer.slot->tts_tid);
	if (update->writer.is_plain)
		return store_plain(update);
	store(update);
	row_writer_require_written(&update->writer);
	require_kept(update);
	return true;
}

static void
close_row(RowUpdate *update)
{
	close_reader(&update->reader);
	row_writer_close(&update->writer);
}

bool
row_update_close(RowUpdate *update)
{
	bool		written = !update->changed || write_row(update);

	close_row(update);
	return written;
}

Datum
row_update_close_returning(RowUpdate *update)
{
	Datum		row;

	if (!write_row(update))
		elog(ERROR, "a locked row of \"%s\" was changed", RelationGetRelationName(update->writer.rel));
	row = row_writer_row(&update->writer);
	close_row(update);
	return row;
}
