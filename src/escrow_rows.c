/*
 * escrow_rows.c
 *	  What the journals (stock_entries, coupon_issues) and the narrow rows (stock, coupon_quota) that they
 *	  are folded into say about a resource.
 *
 * Available is the narrow row's on_hand plus the journal's rows at or above its mark, read by one
 * statement, so that a fold at the same time changes nothing.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/xid8.h"

#include "compat.h"
#include "escrow_rows.h"
#include "gate.h"
#include "spi_util.h"

static SqlStatement lock_row[] = {
	[ESCROW_STOCK] = {
		"SELECT FROM commerce.stock s WHERE s.product_id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
		1, {INT8OID}
	},
	[ESCROW_QUOTA] = {
		"SELECT FROM commerce.coupon_quota q WHERE q.coupon_id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
		1, {INT8OID}
	},
};

/* $2: a transaction whose rows are left out */
#define MARK_IS_AHEAD(row) \
	row ".mark OPERATOR(pg_catalog.>) pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) "

static SqlStatement sum_rows[] = {
	[ESCROW_STOCK] = {
		"SELECT (s.on_hand OPERATOR(pg_catalog.+) coalesce((SELECT pg_catalog.sum(e.delta) "
		"  FROM commerce.stock_entries e WHERE e.product_id OPERATOR(pg_catalog.=) s.product_id "
		"  AND e.xid OPERATOR(pg_catalog.>=) s.mark AND e.xid OPERATOR(pg_catalog.<>) $2), 0))::pg_catalog.int8, "
		MARK_IS_AHEAD("s")
		"FROM commerce.stock s WHERE s.product_id OPERATOR(pg_catalog.=) $1",
		2, {INT8OID, XID8OID}
	},
	[ESCROW_QUOTA] = {
		"SELECT q.on_hand OPERATOR(pg_catalog.-) (SELECT pg_catalog.count(*) "
		"  FROM commerce.coupon_issues i WHERE i.coupon_id OPERATOR(pg_catalog.=) q.coupon_id "
		"  AND i.xid OPERATOR(pg_catalog.>=) q.mark AND i.xid OPERATOR(pg_catalog.<>) $2), "
		MARK_IS_AHEAD("q")
		"FROM commerce.coupon_quota q WHERE q.coupon_id OPERATOR(pg_catalog.=) $1",
		2, {INT8OID, XID8OID}
	},
};

Oid
rows_journal(EscrowKind kind)
{
	return commerce_relation(kind == ESCROW_STOCK ? "stock_entries" : "coupon_issues");
}

void
rows_lock(EscrowKind kind, int64 id)
{
	Datum		value = Int64GetDatum(id);

	SPI_connect();
	sql_execute_latest(&lock_row[kind], &value, NULL);
	SPI_finish();
}

/* Returns whether the mark is this cluster's past. */
static bool
sum_once(EscrowKind kind, int64 id, bool with_own, int64 *units)
{
	FullTransactionId excluded = with_own ? InvalidFullTransactionId : GetTopFullTransactionIdIfAny();
	Datum		values[2] = {Int64GetDatum(id), FullTransactionIdGetDatum(excluded)};
	bool		ahead;

	SPI_connect();
	if (sql_execute_latest(&sum_rows[kind], values, NULL) != 1)
		elog(ERROR, "resource " INT64_FORMAT " of kind %d has no row", id, kind);
	*units = sql_int64(0, 1);
	ahead = sql_bool(0, 2);
	SPI_finish();
	return !ahead;
}

int64
rows_sum(EscrowKind kind, int64 id, bool with_own)
{
	int64		units;

	if (!sum_once(kind, id, with_own, &units))
	{
		gate_rebase();
		if (!sum_once(kind, id, with_own, &units))
			elog(ERROR, "mark of resource " INT64_FORMAT " of kind %d is ahead of this cluster", id, kind);
	}
	return units;
}
