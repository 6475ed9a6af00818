/*
 * stock.c
 *	  Stock of products; owns commerce_private.stock and commerce.stock_entries.
 *
 * Every unit that comes or goes is an append-only row of stock_entries.  Units are taken and given
 * through escrow.c, which keeps the sum from falling below zero without updating a row.
 *
 * Nobody fills a product up to more than MAX_STOCK units.  There may be more: by units that orders give
 * back, and by those that several have added at the same time, each for himself.  But as many as can be
 * connected do not come to what a bigint cannot hold; so sums need no check of their own.
 *
 * Lock order: products by ascending id, after users and coupons.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/key.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/counters.h"
#include "escrow/escrow.h"
#include "escrow/gate.h"
#include "shop/stock.h"

#define MAX_STOCK		INT64CONST(1000000000000)	/* units; times MaxBackends is far from bigint's end */

PG_FUNCTION_INFO_V1(commerce_open_stock);
PG_FUNCTION_INFO_V1(commerce_product_event_key);

void
stock_raise_short(int64 product_id, int64 units, int64 available)
{
	raise_error(ERROR_STOCK_NOT_ENOUGH, D_INT("product_id", product_id), D_INT("asked", units),
				D_INT("available", Max(available, 0)));
}

bool
stock_locks_rows(void)
{
	return !counters_exist();
}

bool
stock_is_short(int64 product_id, int64 units)
{
	static SqlStatement find_short = {
		"SELECT FROM commerce_private.stock s WHERE s.product_id OPERATOR(pg_catalog.=) $1 "
		"AND commerce.available_stock(s.product_id) OPERATOR(pg_catalog.<) $2",
		2, {INT8OID, INT8OID}, SQL_LATEST
	};

	if (!stock_locks_rows())
		return escrow_short_now(ESCROW_STOCK, product_id, units);
	return sql_exists(&find_short, SQL_ARGS(Int64GetDatum(product_id), Int64GetDatum(units)));
}

bool
stock_find_short(int64 product_id, int64 units, int64 *available)
{
	return escrow_surely_short(ESCROW_STOCK, product_id, units, available);
}

bool
stock_is_surely_short(int64 product_id, int64 units)
{
	int64		available;

	return stock_find_short(product_id, units, &available);
}

bool
stock_try_take(int64 product_id, int64 units, int64 *available)
{
	return escrow_take(ESCROW_STOCK, product_id, units, available);
}

bool
stock_take_anywhere(int64 product_id, int64 units, int64 *available)
{
	return escrow_take_anywhere(ESCROW_STOCK, product_id, units, available);
}

void
stock_lock(const int64 *product_ids, int n)
{
	static SqlStatement lock = {
		"SELECT FROM commerce_private.stock s WHERE s.product_id OPERATOR(pg_catalog.=) ANY ($1) "
		"ORDER BY s.product_id FOR NO KEY UPDATE",
		1, {INT8ARRAYOID}, SQL_LATEST
	};

	sql_do(&lock, SQL_ARGS(sql_int8_array(product_ids, n)));
}

/* Appends one row per move, as of a transaction; sign is 1 for units that come in, -1 for those that go out. */
static void
write_entries(const StockMove *moves, int nmoves, int sign, StockReason reason, int64 actor_id, text *note, int64 xid)
{
	RowWriter	writer;

	row_writer_open(&writer, TABLE_STOCK_ENTRIES, STOCK_ENTRIES_COLUMNS);
	for (int i = 0; i < nmoves; i++)
	{
		Row			row = {0};

		row_put_int64(&row, STOCK_ENTRIES_PRODUCT_ID, moves[i].product_id);
		row_put_int64(&row, STOCK_ENTRIES_DELTA, sign * moves[i].units);
		row_put_label(&row, STOCK_ENTRIES_REASON, TYPE_STOCK_REASON, reason);
		row_put_id(&row, STOCK_ENTRIES_ORDER_ITEM_ID, moves[i].order_item_id);
		row_put_id(&row, STOCK_ENTRIES_ACTOR_ID, actor_id);
		row_put_varlena(&row, STOCK_ENTRIES_NOTE, note);
		row_put_time(&row, STOCK_ENTRIES_AT, GetCurrentTransactionStartTimestamp());
		row_put_int64(&row, STOCK_ENTRIES_XID, xid);
		row_writer_insert(&writer, &row);
	}
	row_writer_close(&writer);
}

void
stock_record(const StockMove *moves, int nmoves, StockReason reason)
{
	write_entries(moves, nmoves, -1, reason, 0, NULL, current_key());
}

void
stock_give(const StockMove *moves, int nmoves, StockReason reason)
{
	for (int i = 0; i < nmoves; i++)
		escrow_give(ESCROW_STOCK, moves[i].product_id, moves[i].units);
	write_entries(moves, nmoves, 1, reason, 0, NULL, current_key());
}

int64
stock_available(int64 product_id)
{
	static SqlStatement available_stock = {
		"SELECT commerce.available_stock($1)", 1, {INT8OID}, SQL_LATEST
	};
	int64		available = 0;

	(void) sql_get_int64(&available_stock, SQL_ARGS(Int64GetDatum(product_id)), &available);
	return available;
}

void
stock_add(int64 product_id, int64 units, int64 actor_id, text *note)
{
	StockMove	move = {product_id, units, 0};

	escrow_give(ESCROW_STOCK, product_id, units);
	if (stock_available(product_id) > MAX_STOCK - units)
		raise_invalid("delta", "would take the stock above " INT64_FORMAT, MAX_STOCK);
	write_entries(&move, 1, 1, STOCK_REASON_ADJUST, actor_id, note, current_key());
}

void
stock_record_removed(int64 product_id, int64 units, int64 actor_id, text *note)
{
	StockMove	move = {product_id, units, 0};

	write_entries(&move, 1, -1, STOCK_REASON_ADJUST, actor_id, note, current_key());
}

/*
 * open_stock(product_id bigint, units bigint, actor_id bigint, note text)
 *
 * Gives a product that this transaction has created its narrow row and, when units > 0, its first
 * entry, which is folded from birth: nobody else can know the product yet, so no counter has to be
 * pinned, and any number of products can be made in one transaction.  Raises INVALID_REQUEST.
 */
Datum
commerce_open_stock(PG_FUNCTION_ARGS)
{
	StockMove	move = {PG_GETARG_INT64(0), PG_GETARG_INT64(1), 0};
	const int64 folded = 0;	/* as of a transaction below every mark */
	Row			row = {0};

	if (PG_ARGISNULL(1) || move.units < 0 || move.units > MAX_STOCK)
		raise_invalid("stock", "must be from 0 to " INT64_FORMAT, MAX_STOCK);
	row_put_int64(&row, STOCK_PRODUCT_ID, move.product_id);
	row_put_int64(&row, STOCK_ON_HAND, move.units);
	row_put_int64(&row, STOCK_MARK, folded + 1);
	row_put_bool(&row, STOCK_DEPLETED, move.units == 0);
	row_put_int64(&row, STOCK_EVENT_KEY, current_key());
	row_insert(TABLE_STOCK, STOCK_COLUMNS, &row);
	if (move.units > 0)
		write_entries(&move, 1, 1, STOCK_REASON_INITIAL, PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2),
					  PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3), folded);
	PG_RETURN_VOID();
}

/*
 * product_event_key(product_id bigint)
 *
 * The events of a product are in the order of its narrow row's event_key, which fold() moves too.
 */
Datum
commerce_product_event_key(PG_FUNCTION_ARGS)
{
	static SqlStatement move_key = {
		"UPDATE commerce_private.stock AS s "
		"SET event_key = greatest(s.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) "
		"WHERE s.product_id OPERATOR(pg_catalog.=) $1 RETURNING s.event_key",
		1, {INT8OID}, SQL_LATEST
	};
	int64		product_id = arg_int64(fcinfo, 0, "product_id");
	SqlResult	moved = gate_own_write(&move_key, SQL_ARGS(Int64GetDatum(product_id)));

	if (!result_next(&moved))
		raise_not_found("product", product_id);
	PG_RETURN_INT64(result_int64(&moved, "event_key"));
}
