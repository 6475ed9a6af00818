/*
 * origin.c
 *	  Whose the transaction ids in the journals are, and which era of the outbox this history writes; owns
 *	  commerce_private.origin.
 *
 * Journal rows carry the id of the transaction that wrote them, and marks are transaction ids: both mean
 * something in the cluster only that assigned them.  commerce_private.origin says which that was.  A restore may have
 * put another cluster's row beside ours.
 *
 * Positions of events are made of transaction ids as well, and consumers keep them.  When a server is
 * recovered to a point in the past, or a standby is promoted that has not had the newest history, ids and
 * numbers are given out a second time: an event of the new history would be at, or before, the position of
 * one that is gone and that somebody has had.  So what is written where history may have been cut, on another
 * timeline than before, is of a new era, and comes after everything that was ever given out.  An era's number
 * has the time in it, so that of two servers that are recovered from one backup each has its own.
 *
 * What came from another cluster is rebased: all is folded, marks are set to this cluster's present, ids at or
 * above it are set to 0, and the outbox begins a new era.  In a large shop that takes long.  So it is not done in
 * a caller's transaction, which a timeout ends, but in batches (sql/install/escrow/rebase.sql), each a transaction
 * of its own, by the maintenance worker or a process that prepare_after_restore() starts.  That it has begun, with
 * the mark, and how far it has come, is in the origin's row, so that any process can go on where one was killed.
 * Meanwhile operations and readers of events are refused.
 *
 * A data directory that was copied has the same identifier and timeline, and cannot be told from the one that
 * it is a copy of: there somebody has to call open_era().
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"

#include "base/compat.h"
#include "base/sql.h"
#include "escrow/origin.h"

static Datum
this_cluster(void)
{
	return Int64GetDatum((int64) GetSystemIdentifier());
}

static Datum
this_timeline(void)
{
	return Int64GetDatum((int64) GetWALInsertionTimeLine());
}

static bool
is_empty(void)
{
	static SqlStatement ask = {"SELECT WHERE commerce_private.is_empty()", 0, {0}, SQL_LATEST};

	return sql_exists(&ask, NULL);
}

OriginState
origin_read(int64 *era)
{
	static SqlStatement read = {
		"SELECT pg_catalog.max(o.era) AS era, pg_catalog.bool_and(o.system_identifier OPERATOR(pg_catalog.=) $1) AS ours, "
		"  pg_catalog.bool_and(o.timeline OPERATOR(pg_catalog.=) $2) AS same_timeline, "
		"  pg_catalog.bool_or(o.rebase_mark IS NOT NULL) AS rebasing "
		"FROM commerce_private.origin o HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0",
		2, {INT8OID, INT8OID}, SQL_LATEST
	};
	SqlResult	origin = sql_query(&read, SQL_ARGS(this_cluster(), this_timeline()));

	if (!result_next(&origin))
		return is_empty() ? ORIGIN_NONE : ORIGIN_FOREIGN;
	if (!result_bool(&origin, "ours"))
		return ORIGIN_FOREIGN;
	if (result_bool(&origin, "rebasing"))
		return ORIGIN_REBASING;
	*era = result_int64(&origin, "era");
	return result_bool(&origin, "same_timeline") ? ORIGIN_OURS : ORIGIN_CUT;
}

bool
origin_marks_are_ahead(void)
{
	static SqlStatement ask = {"SELECT WHERE commerce_private.marks_are_ahead()", 0, {0}, SQL_LATEST};

	return sql_exists(&ask, NULL);
}

void
origin_open_era(void)
{
	static SqlStatement open = {
		"UPDATE commerce_private.origin AS o SET timeline = $1, era = commerce_private.next_era(o.era), "
		"recorded_at = pg_catalog.now() RETURNING o.era",
		1, {INT8OID}, SQL_LATEST
	};
	int64		era;

	if (!sql_get_int64(&open, SQL_ARGS(this_timeline()), &era))
		elog(ERROR, "there is no origin whose era could end");
	ereport(LOG,
			(errmsg("commerce begins era " INT64_FORMAT " of its events, on timeline " INT64_FORMAT,
					era, DatumGetInt64(this_timeline()))));
}

static int64
write_origin(bool rebasing)
{
	static SqlStatement write = {
		"SELECT commerce_private.write_origin($1, $2, $3)", 3, {INT8OID, INT8OID, BOOLOID}, SQL_LATEST
	};
	int64		era = 0;

	(void) sql_get_int64(&write, SQL_ARGS(this_cluster(), this_timeline(), BoolGetDatum(rebasing)), &era);
	return era;
}

void
origin_record(void)
{
	(void) write_origin(false);
}

void
origin_begin_rebase(void)
{
	int64		era = write_origin(true);

	ereport(LOG,
			(errmsg("commerce makes what came from another server this one's, in era " INT64_FORMAT " of its events", era)));
}

char *
origin_rebase_batch(void)
{
	static SqlStatement batch = {"SELECT commerce_private.rebase_batch() AS done", 0, {0}, SQL_LATEST};
	SqlResult	result = sql_query(&batch, NULL);
	char	   *done;

	(void) result_next(&result);
	done = result_text(&result, "done");
	if (done == NULL)
		ereport(LOG,
				(errmsg("commerce has made what came from another server this one's")));
	return done;
}
