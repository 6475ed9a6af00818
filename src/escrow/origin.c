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

OriginState
origin_read(int64 *era)
{
	static SqlStatement read = {
		"SELECT pg_catalog.max(o.era) AS era, pg_catalog.bool_and(o.timeline OPERATOR(pg_catalog.=) $2) AS same_timeline "
		"FROM commerce_private.origin o HAVING pg_catalog.bool_and(o.system_identifier OPERATOR(pg_catalog.=) $1)",
		2, {INT8OID, INT8OID}, SQL_LATEST
	};
	SqlResult	origin = sql_query(&read, SQL_ARGS(this_cluster(), this_timeline()));

	if (!result_next(&origin))
		return ORIGIN_FOREIGN;
	*era = result_int64(&origin, "era");
	return result_bool(&origin, "same_timeline") ? ORIGIN_OURS : ORIGIN_CUT;
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

void
origin_rebase(void)
{
	static SqlStatement rebase = {"SELECT commerce_private.rebase($1, $2)", 2, {INT8OID, INT8OID}, SQL_LATEST};

	sql_do(&rebase, SQL_ARGS(this_cluster(), this_timeline()));
}
