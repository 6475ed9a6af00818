/*
 * sheet.c
 *	  Order sheets: priced quotes with a time to live; owns commerce.order_sheets and order_sheet_items.
 *
 * A sheet holds nothing: no stock, no coupon.  It says what an order would cost, and makes one order at
 * most, at that price or a lower one.
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

#include "base/args.h"
#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/json_writer.h"
#include "base/key.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "events/outbox.h"
#include "shop/cell.h"
#include "shop/idempotency.h"
#include "shop/make_way.h"
#include "shop/order_event.h"
#include "shop/place.h"
#include "shop/quote.h"
#include "shop/user.h"

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
	Row			row = {0};

	row_put(&row, ORDER_SHEETS_ID, sheet->id);
	row_put_int64(&row, ORDER_SHEETS_USER_ID, sheet->user_id);
	row_put(&row, ORDER_SHEETS_COUPON_ISSUE_IDS,
			sql_int8_array(sheet->request->order_coupon_ids, sheet->request->norder_coupons));
	row_put_int64(&row, ORDER_SHEETS_ITEMS_TOTAL, totals->items_total);
	row_put_int64(&row, ORDER_SHEETS_ITEM_DISCOUNT_TOTAL, totals->item_discount_total);
	row_put_int64(&row, ORDER_SHEETS_ORDER_DISCOUNT, totals->order_discount);
	row_put_int64(&row, ORDER_SHEETS_SHIPPING_DISCOUNT, totals->shipping_discount);
	row_put_int64(&row, ORDER_SHEETS_SHIPPING_TOTAL, totals->shipping_total);
	row_put_int64(&row, ORDER_SHEETS_PAYMENT_AMOUNT, totals->payment_amount);
	row_put_time(&row, ORDER_SHEETS_CREATED_AT, sheet->created_at);
	row_put_time(&row, ORDER_SHEETS_EXPIRES_AT, sheet->expires_at);
	return row_insert_returning(TABLE_ORDER_SHEETS, ORDER_SHEETS_COLUMNS, &row);
}

static void
insert_item_rows(const Sheet *sheet)
{
	RowWriter	writer;

	row_writer_open(&writer, TABLE_ORDER_SHEET_ITEMS, ORDER_SHEET_ITEMS_COLUMNS);
	for (int i = 0; i < sheet->quote->nlines; i++)
	{
		const Line *line = &sheet->quote->lines[i].line;
		Row			row = {0};

		row_put(&row, ORDER_SHEET_ITEMS_ORDER_SHEET_ID, sheet->id);
		row_put_int32(&row, ORDER_SHEET_ITEMS_SEQ, i + 1);
		row_put_int64(&row, ORDER_SHEET_ITEMS_PRODUCT_ID, line->product_id);
		row_put_id(&row, ORDER_SHEET_ITEMS_SELLER_ID, line->seller_id);
		row_put_text(&row, ORDER_SHEET_ITEMS_PRODUCT_NAME, line->product_name);
		row_put_int64(&row, ORDER_SHEET_ITEMS_QUANTITY, line->quantity);
		row_put_int64(&row, ORDER_SHEET_ITEMS_UNIT_PRICE, line->unit_price);
		row_put_int64(&row, ORDER_SHEET_ITEMS_UNIT_DISCOUNT, line->unit_discount);
		row_put_int64(&row, ORDER_SHEET_ITEMS_UNIT_FINAL, line->unit_final);
		row_put_int64(&row, ORDER_SHEET_ITEMS_LINE_TOTAL, line->line_total);
		row_put_int64(&row, ORDER_SHEET_ITEMS_ORDER_DISCOUNT_SHARE, line->order_discount_share);
		row_put_int64(&row, ORDER_SHEET_ITEMS_SHIPPING_FEE, line->shipping_fee);
		row_put_int64(&row, ORDER_SHEET_ITEMS_SHIPPING_DISCOUNT, line->shipping_discount);
		row_put_id(&row, ORDER_SHEET_ITEMS_COUPON_ISSUE_ID, line->coupon_issue_id);
		row_put_int32(&row, ORDER_SHEET_ITEMS_LINE, line->number);
		row_writer_insert(&writer, &row);
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
	event.key = current_key();
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
	sheet.user_id = arg_int64(fcinfo, 0, "user_id");
	request = quote_parse(arg_jsonb_or_null(fcinfo, 1), arg_array_or_null(fcinfo, 2));
	user_require_kept(sheet.user_id);
	sheet.request = request;
	sheet.quote = quote_make(sheet.user_id, request, false);
	sheet.id = DirectFunctionCall1(gen_random_uuid, (Datum) 0);
	cell_mark_sheet(DatumGetUUIDP(sheet.id), sheet.user_id);
	sheet.created_at = GetCurrentTransactionStartTimestamp();
	sheet.expires_at = sheet.created_at + (int64) commerce_sheet_ttl * USECS_PER_SEC;
	row = insert_sheet_row(&sheet);
	insert_item_rows(&sheet);
	write_created_event(&sheet);
	PG_RETURN_DATUM(row);
}

typedef struct StoredSheet
{
	Jsonb	   *items;			/* as quote_parse() takes them */
	ArrayType  *coupon_issue_ids;
	int64		payment_amount;
} StoredSheet;

/* The user of a sheet; raises ENTITY_NOT_FOUND. */
static int64
sheet_user(Datum sheet_id)
{
	static SqlStatement read = {
		"SELECT s.user_id FROM commerce.order_sheets s WHERE s.id OPERATOR(pg_catalog.=) $1", 1, {UUIDOID}
	};
	int64		user_id;

	if (!sql_get_int64(&read, &sheet_id, &user_id))
		raise_error(ERROR_ENTITY_NOT_FOUND, D_TEXT("entity", "order_sheet"), D_TEXT("id", uuid_text(sheet_id)));
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
	static SqlStatement collect_items = {
		"SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('product_id', l.product_id, "
		"  'quantity', l.quantity, 'coupon_issue_id', l.coupon_issue_id) ORDER BY l.line) "
		"FROM (SELECT i.line, pg_catalog.min(i.product_id) AS product_id, pg_catalog.sum(i.quantity) AS quantity, "
		"  pg_catalog.max(i.coupon_issue_id) AS coupon_issue_id FROM commerce.order_sheet_items i "
		"  WHERE i.order_sheet_id OPERATOR(pg_catalog.=) $1 GROUP BY i.line) l",
		1, {UUIDOID}
	};
	SqlResult	row = sql_query(&lock, &sheet_id);

	if (!result_next(&row))
		raise_error(ERROR_ENTITY_NOT_FOUND, D_TEXT("entity", "order_sheet"), D_TEXT("id", uuid_text(sheet_id)));
	if (!result_is_null(&row, "consumed_order_id"))
		raise_error(ERROR_ORDER_SHEET_USED, D_TEXT("order_sheet_id", uuid_text(sheet_id)),
					D_INT("order_id", result_int64(&row, "consumed_order_id")));
	/* it may have expired while its row was waited for */
	if (result_time(&row, "expires_at") <= GetCurrentTimestamp())
		raise_error(ERROR_ORDER_SHEET_EXPIRED, D_TEXT("order_sheet_id", uuid_text(sheet_id)),
					D_TEXT("expires_at", calendar_time_text(result_time(&row, "expires_at"))));
	sheet->coupon_issue_ids = DatumGetArrayTypeP(result_varlena(&row, "coupon_issue_ids"));
	sheet->payment_amount = result_int64(&row, "payment_amount");

	sheet->items = DatumGetJsonbP(sql_get_row(&collect_items, &sheet_id));
}

/* Raises PRICE_CHANGED when a quote comes to more than the sheet said; to less, that is what the order costs. */
static void
require_no_higher_price(Datum sheet_id, const StoredSheet *sheet, const Quote *quote)
{
	if (quote->totals.payment_amount > sheet->payment_amount)
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

	sql_do(&consume, SQL_ARGS(sheet_id, Int64GetDatum(order_id)));
}

/*
 * place_sheet_order(order_sheet_id uuid, idempotency_key text, payment_method payment_method, delivery jsonb,
 *					 metadata jsonb, pay_within interval, balance_part bigint, payment_channel text)
 *
 * Makes the order of a sheet, once, and returns the orders row.
 */
Datum
commerce_place_sheet_order(PG_FUNCTION_ARGS)
{
	Datum		sheet_id;
	text	   *key = arg_text_or_null(fcinfo, 1, "idempotency_key");
	Terms		terms;
	int64		user_id;
	IdempotentCall call;
	StoredSheet sheet;
	QuoteRequest *request;
	Quote	   *quote;
	User		buyer;
	Datum		row;

	gate_enter("place_sheet_order()");
	sheet_id = arg_datum(fcinfo, 0, "order_sheet_id");
	terms = terms_get(fcinfo, 2);
	user_id = sheet_user(sheet_id);

	idempotency_init(&call, idempotency_scope("user", user_id), "place_sheet_order", key,
					 key ? psprintf("%s %s", uuid_text(sheet_id), terms_canonical(&terms)) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));

	/* who may not order is told so before he waits for anybody */
	user_require_active(user_id, false);
	lock_sheet(sheet_id, &sheet);
	request = quote_parse(sheet.items, sheet.coupon_issue_ids);
	(void) make_way(user_id, request);
	buyer = user_read_active(user_id, true);
	if (request->ncoupons > 0)
		make_way_for_coupons(user_id, request);
	if (terms.method == PAYMENT_METHOD_EXTERNAL)
		place_require_pending_room(user_id);
	quote = quote_make(user_id, request, true);
	require_no_higher_price(sheet_id, &sheet, quote);

	/* where the total has fallen, what is above it is left off */
	if (quote->totals.payment_amount < sheet.payment_amount)
		terms.balance_part = Min(terms.balance_part, quote->totals.payment_amount);
	row = order_place(&buyer, quote, &terms);
	consume_sheet(sheet_id, order_row_id(row));
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
