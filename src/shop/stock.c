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
#include "utils/xid8.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/counters.h"
#include "escrow/escrow.h"
#include "escrow/gate.h"
#include "shop/stock.h"

#define ENTRY_COLUMNS	8
#define MAX_STOCK		INT64CONST(1000000000000)	/* units; times MaxBackends is far from bigint's end */

PG_FUNCTION_INFO_V1(commerce_adjust_stock);
PG_FUNCTION_INFO_V1(commerce_open_stock);

static void
raise_short(int64 product_id, int64 units, int64 available)
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
		2, {INT8OID, INT8OID}
	};
	Datum		values[2] = {Int64GetDatum(product_id), Int64GetDatum(units)};
	bool		found;

	if (!stock_locks_rows())
		return escrow_short_now(ESCROW_STOCK, product_id, units);
	SPI_connect();
	found = sql_execute_latest(&find_short, values, NULL) > 0;
	SPI_finish();
	return found;
}

bool
stock_is_surely_short(int64 product_id, int64 units)
{
	int64		available;

	return escrow_surely_short(ESCROW_STOCK, product_id, units, &available);
}

void
stock_refuse_if_short(int64 product_id, int64 units)
{
	int64		available;

	if (escrow_surely_short(ESCROW_STOCK, product_id, units, &available))
		raise_short(product_id, units, available);
}

void
stock_take(int64 product_id, int64 units)
{
	int64		available;

	if (!escrow_take(ESCROW_STOCK, product_id, units, &available))
		raise_short(product_id, units, available);
}

bool
stock_try_take(int64 product_id, int64 units)
{
	int64		available;

	return escrow_take(ESCROW_STOCK, product_id, units, &available);
}

void
stock_lock(const int64 *product_ids, int n)
{
	static SqlStatement lock = {
		"SELECT FROM commerce_private.stock s WHERE s.product_id OPERATOR(pg_catalog.=) ANY ($1) "
		"ORDER BY s.product_id FOR NO KEY UPDATE",
		1, {INT8ARRAYOID}
	};
	Datum		ids = sql_int8_array(product_ids, n);

	SPI_connect();
	sql_execute_latest(&lock, &ids, NULL);
	SPI_finish();
}

/* Appends one row per move, as of a transaction; sign is 1 for units that come in, -1 for those that go out. */
static void
write_entries(const StockMove *moves, int nmoves, int sign, const char *reason, text *note, FullTransactionId xid)
{
	Datum		reason_value = ObjectIdGetDatum(commerce_enum_value("stock_reason", reason));
	RowWriter	writer;

	row_writer_open(&writer, "stock_entries", ENTRY_COLUMNS);
	for (int i = 0; i < nmoves; i++)
	{
		Datum		values[ENTRY_COLUMNS] = {0};
		bool		nulls[ENTRY_COLUMNS] = {false};

		values[0] = Int64GetDatum(commerce_nextval("stock_entries_id_seq"));
		values[1] = Int64GetDatum(moves[i].product_id);
		values[2] = Int64GetDatum(sign * moves[i].units);
		values[3] = reason_value;
		values[4] = Int64GetDatum(moves[i].order_item_id);
		nulls[4] = (moves[i].order_item_id == 0);
		values[5] = PointerGetDatum(note);
		nulls[5] = (note == NULL);
		values[6] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
		values[7] = FullTransactionIdGetDatum(xid);
		row_writer_insert(&writer, values, nulls);
	}
	row_writer_close(&writer);
}

void
stock_record_taken(const StockMove *moves, int nmoves)
{
	write_entries(moves, nmoves, -1, "ORDER", NULL, GetTopFullTransactionId());
}

void
stock_give(const StockMove *moves, int nmoves, const char *reason)
{
	for (int i = 0; i < nmoves; i++)
		escrow_give(ESCROW_STOCK, moves[i].product_id, moves[i].units);
	write_entries(moves, nmoves, 1, reason, NULL, GetTopFullTransactionId());
}

/*
 * open_stock(product_id bigint, units bigint)
 *
 * Gives a product that this transaction has created its narrow row and, when units > 0, its first
 * entry, which is folded from birth: nobody else can know the product yet, so no counter has to be
 * pinned, and any number of products can be made in one transaction.  Raises INVALID_REQUEST.
 */
Datum
commerce_open_stock(PG_FUNCTION_ARGS)
{
	StockMove	move = {PG_GETARG_INT64(0), PG_GETARG_INT64(1), 0};
	FullTransactionId folded = FullTransactionIdFromU64(0);
	Datum		values[5];

	if (PG_ARGISNULL(1) || move.units < 0 || move.units > MAX_STOCK)
		raise_invalid("stock", "must be from 0 to " INT64_FORMAT, MAX_STOCK);
	values[0] = Int64GetDatum(move.product_id);
	values[1] = Int64GetDatum(move.units);
	values[2] = FullTransactionIdGetDatum(FullTransactionIdFromU64(U64FromFullTransactionId(folded) + 1));	/* mark */
	values[3] = BoolGetDatum(move.units == 0);	/* depleted */
	values[4] = FullTransactionIdGetDatum(FullTransactionIdFromU64(0));	/* event_key */
	row_insert("stock", 5, values, NULL);
	if (move.units > 0)
		write_entries(&move, 1, 1, "INITIAL", NULL, folded);
	PG_RETURN_VOID();
}

/*
 * adjust_stock(product_id bigint, delta bigint, note text)
 *
 * Adds delta units, up to MAX_STOCK, or takes them off, and returns what is available after.
 */
Datum
commerce_adjust_stock(PG_FUNCTION_ARGS)
{
	static SqlStatement available_stock = {
		"SELECT commerce.available_stock($1)", 1, {INT8OID}
	};
	static SqlStatement find_product = {
		"SELECT FROM commerce.products p WHERE p.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	Datum		id = PG_GETARG_DATUM(0);
	int64		delta;
	text	   *note = PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2);
	StockMove	move = {0};
	int64		available;
	int64		after;

	gate_enter("adjust_stock()");
	if (PG_ARGISNULL(0))
		raise_invalid("product_id", "must not be null");
	if (PG_ARGISNULL(1) || PG_GETARG_INT64(1) == 0)
		raise_invalid("delta", "must be a number of units other than 0");
	delta = PG_GETARG_INT64(1);
	if (delta == PG_INT64_MIN)
		raise_invalid("delta", "is out of range");

	SPI_connect();
	if (sql_execute(&find_product, &id, NULL) == 0)
		raise_not_found("product", PG_GETARG_INT64(0));
	SPI_finish();

	move.product_id = PG_GETARG_INT64(0);
	move.units = delta > 0 ? delta : -delta;
	if (delta > 0)
	{
		escrow_give(ESCROW_STOCK, move.product_id, move.units);
		SPI_connect();
		sql_execute_latest(&available_stock, &id, NULL);
		available = sql_int64(0, 1);
		SPI_finish();
		if (available > MAX_STOCK - delta)
			raise_invalid("delta", "would take the stock above " INT64_FORMAT, MAX_STOCK);
	}
	else
		stock_take(move.product_id, move.units);
	write_entries(&move, 1, delta > 0 ? 1 : -1, "ADJUST", note, GetTopFullTransactionId());

	SPI_connect();
	sql_execute_latest(&available_stock, &id, NULL);
	after = sql_int64(0, 1);
	SPI_finish();
	PG_RETURN_INT64(after);
}
