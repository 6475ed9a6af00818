/*
 * sheet.c
 *	  Order sheets: priced quotes with a time to live; owns commerce.order_sheets and order_sheet_items.
 *
 * A sheet holds nothing: no stock, no coupon.  It says what an order would cost, and makes one order at
 * most, at that price or not at all.
 *
 * Lock order: gate, idempotency key, the sheet's row, user's row, coupons by id, products by id.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/json_writer.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "events/outbox.h"
#include "shop/idempotency.h"
#include "shop/make_way.h"
#include "shop/order_event.h"
#include "shop/place.h"
#include "shop/quote.h"
#include "shop/user.h"

#define SHEET_COLUMNS	12
#define ITEM_COLUMNS	14

PG_FUNCTION_INFO_V1(commerce_create_order_sheet);
PG_FUNCTION_INFO_V1(commerce_place_sheet_order);

typedef struct Sheet
{
	Datum		id;				/* uuid */
	int64		user_id;
	const QuoteRequest *request;
	const Quote *quote;
	TimestampTz created_at;
	TimestampTz expires_at;
} Sheet;

static char *
uuid_text(Datum id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, id));
}

static Datum
insert_sheet_row(const Sheet *sheet)
{
	const Totals *totals = &sheet->quote->totals;
	Datum		values[SHEET_COLUMNS] = {0};
	bool		nulls[SHEET_COLUMNS] = {false};

	values[0] = sheet->id;
	values[1] = Int64GetDatum(sheet->user_id);
	values[2] = sql_int8_array(sheet->request->order_coupon_ids, sheet->request->norder_coupons);
	values[3] = Int64GetDatum(totals->items_total);
	values[4] = Int64GetDatum(totals->item_discount_total);
	values[5] = Int64GetDatum(totals->order_discount);
	values[6] = Int64GetDatum(totals->shipping_discount);
	values[7] = Int64GetDatum(totals->shipping_total);
	values[8] = Int64GetDatum(totals->payment_amount);
	values[9] = TimestampTzGetDatum(sheet->created_at);
	values[10] = TimestampTzGetDatum(sheet->expires_at);
	nulls[11] = true;			/* consumed_order_id */
	return row_insert_returning("order_sheets", SHEET_COLUMNS, values, nulls);
}

static void
insert_item_rows(const Sheet *sheet)
{
	RowWriter	writer;

	row_writer_open(&writer, "order_sheet_items", ITEM_COLUMNS);
	for (int i = 0; i < sheet->quote->nlines; i++)
	{
		const Line *line = &sheet->quote->lines[i].line;
		Datum		values[ITEM_COLUMNS] = {0};
		bool		nulls[ITEM_COLUMNS] = {false};

		values[0] = sheet->id;
		values[1] = Int32GetDatum(i + 1);
		values[2] = Int64GetDatum(line->product_id);
		values[3] = Int64GetDatum(line->seller_id);
		nulls[3] = (line->seller_id == 0);
		values[4] = CStringGetTextDatum(line->product_name);
		values[5] = Int64GetDatum(line->quantity);
		values[6] = Int64GetDatum(line->unit_price);
		values[7] = Int64GetDatum(line->unit_discount);
		values[8] = Int64GetDatum(line->unit_final);
		values[9] = Int64GetDatum(line->line_total);
		values[10] = Int64GetDatum(line->order_discount_share);
		values[11] = Int64GetDatum(line->shipping_fee);
		values[12] = Int64GetDatum(line->shipping_discount);
		values[13] = Int64GetDatum(line->coupon_issue_id);
		nulls[13] = (line->coupon_issue_id == 0);
		row_writer_insert(&writer, values, nulls);
	}
	row_writer_close(&writer);
}

static void
write_created_event(const Sheet *sheet)
{
	const Quote *quote = sheet->quote;
	Event		event = {"OrderSheet", uuid_text(sheet->id), "OrderSheetCreated"};
	JsonWriter	json = {0};

	json_open_object(&json, NULL);
	json_put_text(&json, "order_sheet_id", event.aggregateid);
	json_put_int(&json, "user_id", sheet->user_id);
	json_put_time(&json, "created_at", sheet->created_at);
	json_put_time(&json, "expires_at", sheet->expires_at);
	order_put_totals(&json, &quote->totals);
	json_open_array(&json, "coupon_issue_ids");
	for (int i = 0; i < sheet->request->norder_coupons; i++)
		json_put_int(&json, NULL, sheet->request->order_coupon_ids[i]);
	json_close_array(&json);
	json_open_array(&json, "items");
	for (int i = 0; i < quote->nlines; i++)
		order_put_line(&json, i + 1, &quote->lines[i].line);
	json_close_array(&json);
	json_close_object(&json);
	event.payload = json_finish(&json);
	event.key = outbox_first_key();
	outbox_write(&event, 1);
}

/*
 * create_order_sheet(user_id bigint, items jsonb, coupon_issue_ids bigint[])
 *
 * Arguments as those of place_order; returns the order_sheets row.
 */
Datum
commerce_create_order_sheet(PG_FUNCTION_ARGS)
{
	Sheet		sheet = {0};
	QuoteRequest *request;
	Datum		row;

	gate_enter("create_order_sheet()");
	if (PG_ARGISNULL(0))
		raise_invalid("user_id", "must not be null");
	sheet.user_id = PG_GETARG_INT64(0);
	request = quote_parse(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1),
						  PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));
	user_require_active(sheet.user_id, false);
	sheet.request = request;
	sheet.quote = quote_make(sheet.user_id, request, false);
	sheet.id = DirectFunctionCall1(gen_random_uuid, (Datum) 0);
	sheet.created_at = GetCurrentTransactionStartTimestamp();
	sheet.expires_at = sheet.created_at + (int64) commerce_sheet_ttl * USECS_PER_SEC;
	row = insert_sheet_row(&sheet);
	insert_item_rows(&sheet);
	write_created_event(&sheet);
	PG_RETURN_DATUM(row);
}

/* What a line of a sheet came to when it was made. */
typedef struct LinePrice
{
	int64		unit_final;
	int64		order_discount_share;
	int64		shipping;		/* fee less discount */
} LinePrice;

typedef struct StoredSheet
{
	Jsonb	   *items;			/* as quote_parse() takes them */
	ArrayType  *coupon_issue_ids;
	int64		payment_amount;
	LinePrice  *prices;
	int			nlines;
} StoredSheet;

/* The user of a sheet; raises ENTITY_NOT_FOUND. */
static int64
sheet_user(Datum sheet_id)
{
	static SqlStatement read = {
		"SELECT s.user_id FROM commerce.order_sheets s WHERE s.id OPERATOR(pg_catalog.=) $1", 1, {UUIDOID}
	};
	int64		user_id;

	SPI_connect();
	if (sql_execute(&read, &sheet_id, NULL) == 0)
		raise_error(ERROR_ENTITY_NOT_FOUND, D_TEXT("entity", "order_sheet"), D_TEXT("id", uuid_text(sheet_id)));
	user_id = sql_int64(0, 1);
	SPI_finish();
	return user_id;
}

/* Locks a sheet and reads it; raises ORDER_SHEET_USED, ORDER_SHEET_EXPIRED. */
static void
lock_sheet(Datum sheet_id, StoredSheet *sheet)
{
	static SqlStatement lock = {
		"SELECT s.consumed_order_id, s.expires_at, "
		"s.coupon_issue_ids, s.payment_amount "
		"FROM commerce.order_sheets s WHERE s.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
		1, {UUIDOID}
	};
	static SqlStatement read_prices = {
		"SELECT i.unit_final, i.order_discount_share, i.shipping_fee OPERATOR(pg_catalog.-) i.shipping_discount "
		"FROM commerce.order_sheet_items i WHERE i.order_sheet_id OPERATOR(pg_catalog.=) $1 ORDER BY i.seq",
		1, {UUIDOID}
	};
	static SqlStatement collect_items = {
		"SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('product_id', i.product_id, "
		"  'quantity', i.quantity, 'coupon_issue_id', i.coupon_issue_id) ORDER BY i.seq) "
		"FROM commerce.order_sheet_items i WHERE i.order_sheet_id OPERATOR(pg_catalog.=) $1",
		1, {UUIDOID}
	};
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	if (sql_execute(&lock, &sheet_id, NULL) == 0)
		raise_error(ERROR_ENTITY_NOT_FOUND, D_TEXT("entity", "order_sheet"), D_TEXT("id", uuid_text(sheet_id)));
	if (!sql_is_null(0, 1))
		raise_error(ERROR_ORDER_SHEET_USED, D_TEXT("order_sheet_id", uuid_text(sheet_id)),
					D_INT("order_id", sql_int64(0, 1)));
	/* it may have expired while its row was waited for */
	if (sql_time(0, 2) <= GetCurrentTimestamp())
		raise_error(ERROR_ORDER_SHEET_EXPIRED, D_TEXT("order_sheet_id", uuid_text(sheet_id)));
	sheet->coupon_issue_ids = (ArrayType *) DatumGetPointer(sql_transfer(0, 3));
	sheet->payment_amount = sql_int64(0, 4);

	sheet->nlines = (int) sql_execute(&read_prices, &sheet_id, NULL);
	sheet->prices = MemoryContextAlloc(caller, sheet->nlines * sizeof(LinePrice));
	for (int i = 0; i < sheet->nlines; i++)
		sheet->prices[i] = (LinePrice) {sql_int64(i, 1), sql_int64(i, 2), sql_int64(i, 3)};
	sql_execute(&collect_items, &sheet_id, NULL);
	sheet->items = (Jsonb *) DatumGetPointer(sql_transfer(0, 1));
	SPI_finish();
}

/*
 * Raises PRICE_CHANGED unless a quote comes to what the sheet said: in all, and line by line what each
 * unit costs, how much of the order's discount it bears, and its shipping.
 */
static void
require_same_price(Datum sheet_id, const StoredSheet *sheet, const Quote *quote)
{
	bool		same = (quote->totals.payment_amount == sheet->payment_amount && quote->nlines == sheet->nlines);

	for (int i = 0; same && i < quote->nlines; i++)
	{
		const Line *line = &quote->lines[i].line;
		const LinePrice *price = &sheet->prices[i];

		same = line->unit_final == price->unit_final &&
			line->order_discount_share == price->order_discount_share &&
			line->shipping_fee - line->shipping_discount == price->shipping;
	}
	if (!same)
		raise_error(ERROR_PRICE_CHANGED, D_TEXT("order_sheet_id", uuid_text(sheet_id)),
					D_INT("then", sheet->payment_amount), D_INT("now", quote->totals.payment_amount));
}

static void
consume_sheet(Datum sheet_id, int64 order_id)
{
	static SqlStatement consume = {
		"UPDATE commerce.order_sheets AS s SET consumed_order_id = $2 WHERE s.id OPERATOR(pg_catalog.=) $1",
		2, {UUIDOID, INT8OID}
	};
	Datum		values[2] = {sheet_id, Int64GetDatum(order_id)};

	SPI_connect();
	sql_execute(&consume, values, NULL);
	SPI_finish();
}

/*
 * place_sheet_order(order_sheet_id uuid, idempotency_key text, payment_method payment_method)
 *
 * Makes the order of a sheet, once, and returns the orders row.
 */
Datum
commerce_place_sheet_order(PG_FUNCTION_ARGS)
{
	Datum		sheet_id = PG_GETARG_DATUM(0);
	text	   *key = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	PaymentMethod method;
	int64		user_id;
	IdempotentCall call;
	StoredSheet sheet;
	QuoteRequest *request;
	Quote	   *quote;
	Datum		row;

	gate_enter("place_sheet_order()");
	if (PG_ARGISNULL(0))
		raise_invalid("order_sheet_id", "must not be null");
	if (PG_ARGISNULL(2))
		raise_invalid("payment_method", "must not be null");
	method = payment_method_of(PG_GETARG_DATUM(2));
	user_id = sheet_user(sheet_id);

	idempotency_init(&call, idempotency_scope("user", user_id), "place_sheet_order", key,
					 key ? psprintf("%s %s", uuid_text(sheet_id), payment_method_labels[method]) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));

	/* who may not order is told so before he waits for anybody */
	user_require_active(user_id, false);
	lock_sheet(sheet_id, &sheet);
	request = quote_parse(sheet.items, sheet.coupon_issue_ids);
	(void) make_way(user_id, request);
	user_require_active(user_id, true);
	if (request->ncoupons > 0)
		make_way_for_coupons(user_id, request);
	quote = quote_make(user_id, request, true);
	require_same_price(sheet_id, &sheet, quote);
	row = order_place(user_id, quote, method);
	consume_sheet(sheet_id, order_row_id(row));
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
