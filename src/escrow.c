/*
 * escrow.c
 *	  Taking and giving back units of what is limited, in the form without shared memory.
 *
 * The truth is append-only rows (stock_entries, coupon_issues).  A narrow row per resource (stock,
 * coupon_quota) holds their sum up to a mark; it is locked FOR NO KEY UPDATE by whoever takes or gives
 * units until the transaction ends, and what is available is its on_hand plus the rows at or above the
 * mark, summed under a snapshot taken when the lock is held.
 *
 * Lock order: the caller takes coupons before products, each by ascending id.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "compat.h"
#include "escrow.h"
#include "gate.h"
#include "spi_util.h"

PG_FUNCTION_INFO_V1(commerce_fold);

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

static SqlStatement sum_rows[] = {
	[ESCROW_STOCK] = {
		"SELECT (s.on_hand OPERATOR(pg_catalog.+) coalesce((SELECT pg_catalog.sum(e.delta) "
		"  FROM commerce.stock_entries e WHERE e.product_id OPERATOR(pg_catalog.=) s.product_id "
		"  AND e.xid OPERATOR(pg_catalog.>=) s.mark), 0))::pg_catalog.int8 "
		"FROM commerce.stock s WHERE s.product_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}
	},
	[ESCROW_QUOTA] = {
		"SELECT q.on_hand OPERATOR(pg_catalog.-) (SELECT pg_catalog.count(*) "
		"  FROM commerce.coupon_issues i WHERE i.coupon_id OPERATOR(pg_catalog.=) q.coupon_id "
		"  AND i.xid OPERATOR(pg_catalog.>=) q.mark) "
		"FROM commerce.coupon_quota q WHERE q.coupon_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}
	},
};

static int64
lock_and_sum(EscrowKind kind, int64 id)
{
	Datum		value = Int64GetDatum(id);
	int64		available;

	SPI_connect();
	sql_execute_latest(&lock_row[kind], &value, NULL);
	if (sql_execute_latest(&sum_rows[kind], &value, NULL) != 1)
		elog(ERROR, "resource " INT64_FORMAT " of kind %d has no row", id, kind);
	available = sql_int64(0, 1);
	SPI_finish();
	return available;
}

bool
escrow_take(EscrowKind kind, int64 id, int64 units, int64 *available)
{
	*available = lock_and_sum(kind, id);
	return *available >= units;
}

void
escrow_give(EscrowKind kind, int64 id, int64 units)
{
	Datum		value = Int64GetDatum(id);

	SPI_connect();
	sql_execute_latest(&lock_row[kind], &value, NULL);
	SPI_finish();
}

bool
escrow_surely_short(EscrowKind kind, int64 id, int64 units, int64 *available)
{
	/* without a counter nothing is known before the row is locked */
	return false;
}

/*
 * fold()
 *
 * Adds the journal rows of transactions that have ended to the narrow rows, and moves their marks.
 * One folder at a time: the lock comes first, then the snapshot.  Rows that an order holds locked are
 * left for the next time.  What is available does not change.
 */
Datum
commerce_fold(PG_FUNCTION_ARGS)
{
	static SqlStatement fold_all = {"SELECT commerce.fold_stock() OPERATOR(pg_catalog.+) commerce.fold_quota()", 0, {0}};
	LOCKTAG		tag;
	int64		folded;

	gate_enter("fold()");
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, COMMERCE_LOCK_FOLD);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);

	SPI_connect();
	gate_own_write_begin();
	sql_execute_latest(&fold_all, NULL, NULL);
	gate_own_write_end();
	folded = sql_int64(0, 1);
	SPI_finish();
	PG_RETURN_INT64(folded);
}
