/*
 * row_reader.c
 *	  Reading rows of the extension's tables by an index, without the executor: for the rows that every
 *	  order and every claim reads, starting and ending an executor costs several times as much as the
 *	  lookup.  Unlike a plan, a lookup stays one whatever the size of the table was at first.  (PostgreSQL's own
 *	  systable scans would do as well: 1 % of an order's instructions more, since each look-up begins a scan.)
 *
 * The locks go when the reading ends, so that a transaction's later ones find room in its fast path; who wants to
 * drop or truncate what was read waits for the gate.
 *
 * Privileges are not checked and row security does not apply: the functions that read so run with the
 * rights of the extension's owner.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/row_reader.h"

#define MAX_KEYS	3

void
row_push_snapshot(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
row_push_latest_snapshot(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
}

/* Opens an index, after its table; one that is not valid, as while it is built, lacks rows. */
static Relation
open_index(CatalogRelation name)
{
	Relation	index = index_open(catalog_relation(name), AccessShareLock);

	/* REINDEX CONCURRENTLY may have given the name to another meanwhile, which we know once it is open */
	if (!index->rd_index->indisvalid)
	{
		index_close(index, NoLock);
		index = index_open(catalog_relation(name), AccessShareLock);
	}
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index %s is not valid", catalog_relation_name(name))));
	return index;
}

static void
set_table(RowReader *reader, Relation rel, LOCKMODE lock)
{
	reader->rel = rel;
	reader->lock = lock;
	reader->slot = table_slot_create(reader->rel, NULL);
	reader->index = NULL;
	reader->scan = NULL;
}

static void
open_table(RowReader *reader, CatalogRelation table, LOCKMODE lock)
{
	set_table(reader, table_open(catalog_relation(table), lock), lock);
}

static void
begin_scan(RowReader *reader, CatalogRelation index, int nkeys)
{
	Assert(nkeys <= MAX_KEYS);
	reader->index = open_index(index);
	reader->scan = begin_index_scan(reader->rel, reader->index, GetActiveSnapshot(), nkeys);
	reader->nkeys = nkeys;
}

void
row_reader_open(RowReader *reader, CatalogRelation table, CatalogRelation index, int nkeys)
{
	open_table(reader, table, AccessShareLock);
	begin_scan(reader, index, nkeys);
}

/*
 * A row that the active snapshot shows has its page, which is looked for after the snapshot was taken.  That there is
 * none is read, too: a scan of an empty index locks it for SERIALIZABLE.
 */
void
row_reader_open_if_any(RowReader *reader, CatalogRelation table, CatalogRelation index, int nkeys)
{
	open_table(reader, table, AccessShareLock);
	if (RelationGetNumberOfBlocks(reader->rel) > 0)
		begin_scan(reader, index, nkeys);
	else
		PredicateLockRelation(reader->rel, GetActiveSnapshot());
}

/*
 * What the snapshot shows at a place, and has the id, is the row: there is only one.  The table may have become
 * shorter since.
 */
static bool
is_at(RowReader *reader, int column, int64 id, RowPlace *place)
{
	return ItemPointerIsValid(&place->tid) && place->id == id &&
		ItemPointerGetBlockNumber(&place->tid) < RelationGetNumberOfBlocks(reader->rel) &&
		table_tuple_fetch_row_version(reader->rel, &place->tid, GetActiveSnapshot(), reader->slot) &&
		row_int64(reader, column) == id;
}

void
row_reader_open_table(RowReader *reader, CatalogRelation table)
{
	open_table(reader, table, AccessShareLock);
}

bool
row_reader_go_to(RowReader *reader, CatalogRelation index, int column, int64 id, RowPlace *place)
{
	if (is_at(reader, column, id, place))
		return true;
	if (reader->scan == NULL)
		begin_scan(reader, index, 1);
	row_reader_seek(reader, &id);
	if (!row_reader_next(reader))
		return false;
	*place = (RowPlace) {id, reader->slot->tts_tid};
	return true;
}

bool
row_reader_find(RowReader *reader, CatalogRelation table, CatalogRelation index, int column, int64 id, RowPlace *place,
				bool to_lock)
{
	open_table(reader, table, to_lock ? RowShareLock : AccessShareLock);
	return row_reader_go_to(reader, index, column, id, place);
}

bool
row_reader_find_in(RowReader *reader, Relation rel, CatalogRelation index, int column, int64 id, RowPlace *place)
{
	set_table(reader, rel, NoLock);
	return row_reader_go_to(reader, index, column, id, place);
}

void
row_reader_seek(RowReader *reader, const int64 *keys)
{
	ScanKeyData scan_keys[MAX_KEYS];

	if (reader->scan == NULL)
		return;
	for (int i = 0; i < reader->nkeys; i++)
		ScanKeyInit(&scan_keys[i], i + 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(keys[i]));
	index_rescan(reader->scan, scan_keys, reader->nkeys, NULL, 0);
}

/* Goes before the first row whose first column of the index compares so with a value. */
static void
seek_by(RowReader *reader, StrategyNumber strategy, RegProcedure comparison, Datum value)
{
	ScanKeyData scan_key;

	ScanKeyEntryInitialize(&scan_key, 0, 1, strategy, InvalidOid, reader->index->rd_indcollation[0], comparison, value);
	index_rescan(reader->scan, &scan_key, 1, NULL, 0);
}

void
row_reader_seek_texts(RowReader *reader, const Datum *values)
{
	ScanKeyData scan_keys[MAX_KEYS];

	for (int i = 0; i < reader->nkeys; i++)
		ScanKeyEntryInitialize(&scan_keys[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   reader->index->rd_indcollation[i], F_TEXTEQ, values[i]);
	index_rescan(reader->scan, scan_keys, reader->nkeys, NULL, 0);
}

void
row_reader_seek_name(RowReader *reader, const char *name)
{
	seek_by(reader, BTEqualStrategyNumber, F_NAMEEQ, DirectFunctionCall1(namein, CStringGetDatum(name)));
}

void
row_reader_seek_uuid(RowReader *reader, Datum value)
{
	seek_by(reader, BTEqualStrategyNumber, F_UUID_EQ, value);
}

void
row_reader_seek_until(RowReader *reader, TimestampTz until)
{
	seek_by(reader, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(until));
}

bool
row_reader_next(RowReader *reader)
{
	return reader->scan && index_getnext_slot(reader->scan, ForwardScanDirection, reader->slot);
}

void
row_reader_close(RowReader *reader)
{
	if (reader->scan)
		index_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	if (reader->index)
		index_close(reader->index, AccessShareLock);
	if (reader->lock != NoLock)
		table_close(reader->rel, reader->lock == AccessShareLock ? AccessShareLock : NoLock);
}

Datum
row_datum(RowReader *reader, int column, bool *isnull)
{
	return slot_getattr(reader->slot, column, isnull);
}

int32
row_int32(RowReader *reader, int column)
{
	bool		isnull;
	Datum		value = row_datum(reader, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

bool
row_bool(RowReader *reader, int column)
{
	bool		isnull;
	Datum		value = row_datum(reader, column, &isnull);

	return !isnull && DatumGetBool(value);
}

int64
row_int64(RowReader *reader, int column)
{
	bool		isnull;
	Datum		value = row_datum(reader, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

bool
row_is_null(RowReader *reader, int column)
{
	return slot_attisnull(reader->slot, column);
}

struct varlena *
row_varlena(RowReader *reader, int column)
{
	bool		isnull;
	Datum		value = row_datum(reader, column, &isnull);

	return isnull ? NULL : PG_DETOAST_DATUM_COPY(value);
}

char *
row_text(RowReader *reader, int column)
{
	bool		isnull;
	Datum		value = row_datum(reader, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

int
row_label(RowReader *reader, int column, CatalogType type)
{
	bool		isnull;
	Datum		value = row_datum(reader, column, &isnull);

	if (isnull)
		elog(ERROR, "column %d of \"%s\" is null", column, RelationGetRelationName(reader->rel));
	return catalog_label_of(type, value);
}
