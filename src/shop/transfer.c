/*
 * transfer.c
 *	  Units of stock and quota on their way from one cell to another; owns commerce.transfers_out and
 *	  commerce.transfers_in.
 *
 * A cell that sends takes units out of its escrow, and writes how many in the same transaction; the other cell gives
 * them to its own escrow once that is committed, if it has not done so before: an id is received once.  So a unit is
 * in one cell or on its way, and a transfer that has begun can be finished by anybody, any number of times.  There is
 * no way back but another transfer.
 *
 * Lock order: gate, the transfer's id, then as make_way.c's; the product or coupon last.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/sql.h"
#include "escrow/escrow.h"
#include "escrow/gate.h"
#include "shop/cell.h"
#include "shop/make_way.h"
#include "shop/quota.h"
#include "shop/stock.h"

#define MOST_UNITS	INT64CONST(1000000000000)

PG_FUNCTION_INFO_V1(commerce_receive_units);
PG_FUNCTION_INFO_V1(commerce_send_units);
PG_FUNCTION_INFO_V1(commerce_take_units);

typedef struct Transfer
{
	Datum		id;				/* uuid */
	EscrowKind	kind;
	int64		resource_id;
	int64		units;			/* that are wanted, or came */
	int32		cell;			/* the other one */
} Transfer;

static int32
own_cell(void)
{
	static SqlStatement read = {"SELECT commerce.cell_number()::pg_catalog.int8", 0, {0}, SQL_LATEST};
	int64		number = 0;

	(void) sql_get_int64(&read, NULL, &number);
	return (int32) number;
}

/* The arguments that both directions have, but for who is on the other side. */
static Transfer
get_transfer(FunctionCallInfo fcinfo, const char *cell)
{
	Transfer	transfer;

	StaticAssertStmt((int) UNIT_KIND_STOCK == (int) ESCROW_STOCK && (int) UNIT_KIND_QUOTA == (int) ESCROW_QUOTA,
					 "a kind of units is what escrow knows");
	transfer.id = arg_datum(fcinfo, 0, "transfer_id");
	transfer.kind = (EscrowKind) arg_label(fcinfo, 1, "kind", TYPE_UNIT_KIND);
	transfer.resource_id = arg_int64(fcinfo, 2, "resource_id");
	transfer.units = arg_positive(fcinfo, 3, "units");
	transfer.cell = DatumGetInt32(arg_datum(fcinfo, 4, cell));
	if (transfer.cell < 0 || transfer.cell > MAX_CELL)
		raise_invalid(cell, "must be from 0 to %d", MAX_CELL);
	if (transfer.cell == own_cell())
		raise_invalid(cell, "must not be this cell");
	if (transfer.units > MOST_UNITS)
		raise_invalid("units", "must be at most " INT64_FORMAT, MOST_UNITS);
	return transfer;
}

static Datum
kind_label(const Transfer *transfer)
{
	return catalog_label_text(TYPE_UNIT_KIND, transfer->kind);
}

/* Keeps others from sending or receiving under the same id until the transaction ends. */
static void
lock_id(const Transfer *transfer)
{
	uint64		key;

	memcpy(&key, DatumGetUUIDP(transfer->id)->data, sizeof(key));
	lock_take(COMMERCE_LOCK_TRANSFER, key);
}

static void
require_resource(const Transfer *transfer)
{
	static SqlStatement find[] = {
		[ESCROW_STOCK] = {
			"SELECT FROM commerce_private.stock s WHERE s.product_id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, SQL_LATEST
		},
		[ESCROW_QUOTA] = {
			"SELECT FROM commerce_private.coupon_quota q WHERE q.coupon_id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, SQL_LATEST
		},
	};

	if (!sql_exists(&find[transfer->kind], SQL_ARGS(Int64GetDatum(transfer->resource_id))))
		raise_not_found(transfer->kind == ESCROW_STOCK ? "product" : "coupon", transfer->resource_id);
}

/*
 * Whether a table of transfers has the id already, with how many units.  Raises IDEMPOTENCY_KEY_REUSED when it is of
 * something else.
 */
static bool
is_known(const Transfer *transfer, SqlStatement *find, int64 *units)
{
	SqlResult	found = sql_query(find, SQL_ARGS(transfer->id));

	if (!result_next(&found))
		return false;
	*units = result_int64(&found, "units");
	if (result_label(&found, "kind", TYPE_UNIT_KIND) != (int) transfer->kind ||
		result_int64(&found, "resource_id") != transfer->resource_id || *units > transfer->units ||
		result_int32(&found, "cell") != transfer->cell)
		raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, D_TEXT("key", DatumGetCString(DirectFunctionCall1(uuid_out, transfer->id))));
	return true;
}

static void
insert(const Transfer *transfer, SqlStatement *statement, int64 units)
{
	sql_do(statement, SQL_ARGS(transfer->id, kind_label(transfer), Int64GetDatum(transfer->resource_id),
							   Int64GetDatum(units), Int32GetDatum(transfer->cell)));
}

/* Takes up to the units that are wanted, with their journal; overdue orders make way. */
static int64
take(const Transfer *transfer)
{
	StockMove	move = {.product_id = transfer->resource_id};
	int64		taken;

	if (transfer->kind == ESCROW_STOCK)
		make_way_partly(transfer->resource_id, transfer->units);
	taken = escrow_take_up_to(transfer->kind, transfer->resource_id, transfer->units);
	move.units = taken;
	if (taken > 0 && transfer->kind == ESCROW_STOCK)
		stock_record(&move, 1, STOCK_REASON_TRANSFER);
	else if (taken > 0)
		quota_record_transfer(transfer->resource_id, -taken);
	return taken;
}

/*
 * send_units(transfer_id uuid, kind unit_kind, resource_id bigint, units bigint, to_cell int)
 *
 * Returns how many units are on their way.
 */
Datum
commerce_send_units(PG_FUNCTION_ARGS)
{
	static SqlStatement find = {
		"SELECT t.kind, t.resource_id, t.units, t.to_cell AS cell FROM commerce.transfers_out t "
		"WHERE t.id OPERATOR(pg_catalog.=) $1", 1, {UUIDOID}, SQL_LATEST
	};
	static SqlStatement write = {
		"INSERT INTO commerce.transfers_out (id, kind, resource_id, units, to_cell) "
		"VALUES ($1, $2::commerce.unit_kind, $3, $4, $5)", 5, {UUIDOID, TEXTOID, INT8OID, INT8OID, INT4OID}
	};
	Transfer	transfer;
	int64		units;

	gate_enter("send_units()");
	transfer = get_transfer(fcinfo, "to_cell");
	lock_id(&transfer);
	if (is_known(&transfer, &find, &units))
		PG_RETURN_INT64(units);
	require_resource(&transfer);
	units = take(&transfer);
	if (units > 0)
		insert(&transfer, &write, units);
	PG_RETURN_INT64(units);
}

/*
 * take_units(kind unit_kind, resource_id bigint, units bigint)
 *
 * Takes up to so many units, as send_units() does, for a transfer that the caller writes; returns how many.
 */
Datum
commerce_take_units(PG_FUNCTION_ARGS)
{
	Transfer	transfer = {0};

	transfer.kind = (EscrowKind) arg_label(fcinfo, 0, "kind", TYPE_UNIT_KIND);
	transfer.resource_id = arg_int64(fcinfo, 1, "resource_id");
	transfer.units = arg_positive(fcinfo, 2, "units");
	require_resource(&transfer);
	PG_RETURN_INT64(take(&transfer));
}

/*
 * receive_units(transfer_id uuid, kind unit_kind, resource_id bigint, units bigint, from_cell int)
 *
 * Returns whether they had not been received before.
 */
Datum
commerce_receive_units(PG_FUNCTION_ARGS)
{
	static SqlStatement find = {
		"SELECT t.kind, t.resource_id, t.units, t.from_cell AS cell FROM commerce.transfers_in t "
		"WHERE t.id OPERATOR(pg_catalog.=) $1", 1, {UUIDOID}, SQL_LATEST
	};
	static SqlStatement write = {
		"INSERT INTO commerce.transfers_in (id, kind, resource_id, units, from_cell) "
		"VALUES ($1, $2::commerce.unit_kind, $3, $4, $5)", 5, {UUIDOID, TEXTOID, INT8OID, INT8OID, INT4OID}
	};
	Transfer	transfer;
	StockMove	move;
	int64		units;

	gate_enter("receive_units()");
	transfer = get_transfer(fcinfo, "from_cell");
	lock_id(&transfer);
	if (is_known(&transfer, &find, &units))
	{
		if (units != transfer.units)
			raise_invalid("units", "must be the " INT64_FORMAT " that were received", units);
		PG_RETURN_BOOL(false);
	}
	require_resource(&transfer);
	move = (StockMove) {transfer.resource_id, transfer.units, 0};
	if (transfer.kind == ESCROW_STOCK)
		stock_give(&move, 1, STOCK_REASON_TRANSFER);
	else
	{
		escrow_give(ESCROW_QUOTA, transfer.resource_id, transfer.units);
		quota_record_transfer(transfer.resource_id, transfer.units);
	}
	insert(&transfer, &write, transfer.units);
	PG_RETURN_BOOL(true);
}
