/*
 * rows.c
 *	  What the journals (stock_entries; coupon_issues and quota_entries, together quota_moves) and the narrow
 *	  rows (stock, coupon_quota) that they are folded into say about a resource.
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

#include "base/compat.h"
#include "base/error.h"
#include "base/key.h"
#include "base/lock.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "escrow/rows.h"

#define LONG_JOURNAL	500		/* rows above a mark that are worth a fold without a worker */

static SqlStatement lock_row[] = {
	[ESCROW_STOCK] = {
		"SELECT FROM commerce_private.stock s WHERE s.product_id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
		1, {INT8OID}, SQL_LATEST
	},
	[ESCROW_QUOTA] = {
		"SELECT FROM commerce_private.coupon_quota q WHERE q.coupon_id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
		1, {INT8OID}, SQL_LATEST
	},
};

/* $2: a transaction whose rows are left out; NULL: none */
#define MARK_IS_AHEAD(row) \
	row ".mark OPERATOR(pg_catalog.>) commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS ahead"

static SqlStatement sum_rows[] = {
	[ESCROW_STOCK] = {
		"SELECT (l.units OPERATOR(pg_catalog.-) coalesce((SELECT pg_catalog.sum(e.delta) FROM commerce.stock_entries e "
		"  WHERE e.product_id OPERATOR(pg_catalog.=) l.product_id AND e.xid OPERATOR(pg_catalog.=) $2), 0))::pg_catalog.int8 AS units, "
		MARK_IS_AHEAD("l") ", l.unfolded "
		"FROM commerce_private.stock_left l WHERE l.product_id OPERATOR(pg_catalog.=) $1",
		2, {INT8OID, INT8OID}, SQL_LATEST
	},
	[ESCROW_QUOTA] = {
		"SELECT (l.units OPERATOR(pg_catalog.-) coalesce((SELECT pg_catalog.sum(m.delta) FROM commerce_private.quota_moves m "
		"  WHERE m.coupon_id OPERATOR(pg_catalog.=) l.coupon_id AND m.xid OPERATOR(pg_catalog.=) $2), 0))::pg_catalog.int8 AS units, "
		MARK_IS_AHEAD("l") ", l.unfolded "
		"FROM commerce_private.quota_left l WHERE l.coupon_id OPERATOR(pg_catalog.=) $1",
		2, {INT8OID, INT8OID}, SQL_LATEST
	},
};

/* $2: how many rows make it worth while */
static SqlStatement fold_row[] = {
	[ESCROW_STOCK] = {
		"UPDATE commerce_private.stock AS s SET on_hand = s.on_hand OPERATOR(pg_catalog.+) j.units, mark = j.xmin "
		"FROM (SELECT h.xmin, pg_catalog.sum(e.delta) AS units FROM commerce_private.stock t "
		"  CROSS JOIN (SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin OFFSET 0) h "
		"  JOIN commerce.stock_entries e ON e.product_id OPERATOR(pg_catalog.=) t.product_id "
		"  AND e.xid OPERATOR(pg_catalog.>=) t.mark AND e.xid OPERATOR(pg_catalog.<) h.xmin "
		"  WHERE t.product_id OPERATOR(pg_catalog.=) $1 GROUP BY h.xmin "
		"  HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>=) $2) j "
		"WHERE s.product_id OPERATOR(pg_catalog.=) $1",
		2, {INT8OID, INT8OID}, SQL_LATEST
	},
	[ESCROW_QUOTA] = {
		"UPDATE commerce_private.coupon_quota AS q SET on_hand = q.on_hand OPERATOR(pg_catalog.+) j.units, mark = j.xmin "
		"FROM (SELECT h.xmin, pg_catalog.sum(m.delta) AS units FROM commerce_private.coupon_quota t "
		"  CROSS JOIN (SELECT commerce_private.to_key(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())) AS xmin OFFSET 0) h "
		"  JOIN commerce_private.quota_moves m ON m.coupon_id OPERATOR(pg_catalog.=) t.coupon_id "
		"  AND m.xid OPERATOR(pg_catalog.>=) t.mark AND m.xid OPERATOR(pg_catalog.<) h.xmin "
		"  WHERE t.coupon_id OPERATOR(pg_catalog.=) $1 GROUP BY h.xmin "
		"  HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>=) $2) j "
		"WHERE q.coupon_id OPERATOR(pg_catalog.=) $1",
		2, {INT8OID, INT8OID}, SQL_LATEST
	},
};

Oid
rows_journal(EscrowKind kind)
{
	return catalog_relation(kind == ESCROW_STOCK ? TABLE_STOCK_ENTRIES : TABLE_COUPON_ISSUES);
}

void
rows_lock(EscrowKind kind, int64 id)
{
	sql_do(&lock_row[kind], SQL_ARGS(Int64GetDatum(id)));
}

/* *n: how many rows are above the mark. */
static int64
sum(EscrowKind kind, int64 id, bool with_own, int64 *n)
{
	int64		own = key_of(GetTopFullTransactionIdIfAny());
	SqlResult	result = sql_query_with_nulls(&sum_rows[kind], SQL_ARGS(Int64GetDatum(id), Int64GetDatum(own)),
											  with_own || own == 0 ? " n" : NULL);

	if (!result_next(&result))
		raise_not_found(kind == ESCROW_STOCK ? "product" : "coupon", id);
	/* transaction ids were reset, or the row was copied by hand */
	if (result_bool(&result, "ahead"))
		gate_refuse_foreign();
	*n = result_int64(&result, "unfolded");
	return result_int64(&result, "units");
}

int64
rows_sum(EscrowKind kind, int64 id, bool with_own)
{
	int64		n;

	return sum(kind, id, with_own, &n);
}

bool
rows_are_shared(EscrowKind kind, int64 id)
{
	static SqlStatement find = {
		"SELECT WHERE EXISTS (SELECT FROM commerce_private.cell) "
		"OR EXISTS (SELECT FROM commerce.transfers_out t WHERE t.kind OPERATOR(pg_catalog.=) $1::commerce.unit_kind "
		"  AND t.resource_id OPERATOR(pg_catalog.=) $2) "
		"OR EXISTS (SELECT FROM commerce.transfers_in t WHERE t.kind OPERATOR(pg_catalog.=) $1::commerce.unit_kind "
		"  AND t.resource_id OPERATOR(pg_catalog.=) $2)",
		2, {TEXTOID, INT8OID}, SQL_LATEST
	};

	return sql_exists(&find, SQL_ARGS(catalog_label_text(TYPE_UNIT_KIND, kind), Int64GetDatum(id)));
}

/*
 * Folds a locked narrow row whose journal has grown long, unless somebody is folding.  The entries that
 * the caller writes afterwards are left for fold(), which tells from them whether the stock has run out.
 */
static void
fold_locked(EscrowKind kind, int64 id)
{
	if (!lock_try(COMMERCE_LOCK_FOLD, 0))
		return;
	(void) gate_own_write(&fold_row[kind], SQL_ARGS(Int64GetDatum(id), Int64GetDatum(LONG_JOURNAL / 2)));
}

int64
rows_lock_and_sum(EscrowKind kind, int64 id)
{
	int64		units;
	int64		n;

	rows_lock(kind, id);
	units = sum(kind, id, true, &n);
	if (n >= LONG_JOURNAL)
		fold_locked(kind, id);
	return units;
}
