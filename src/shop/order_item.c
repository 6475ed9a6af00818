/*
 * order_item.c
 *	  Items of orders; owns commerce.order_items, their history order_item_events, and the steps that
 *	  order_item_transitions allows.
 *
 * An item is changed under the lock of its order's row (order.c).  A row's net (line_total less its share of
 * the order's discount) is what its units cost, and is never computed anew.
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
#include "shop/order_item.h"

#define ITEM_COLUMNS	17
#define EVENT_COLUMNS	10

static void
write_item(RowWriter *writer, int64 order_id, const OrderItem *item)
{
	const Line *line = &item->line;
	Datum		values[ITEM_COLUMNS] = {0};
	bool		nulls[ITEM_COLUMNS] = {false};

	values[0] = Int64GetDatum(item->id);
	values[1] = Int64GetDatum(order_id);
	values[2] = Int32GetDatum(item->seq);
	values[3] = Int64GetDatum(line->product_id);
	values[4] = Int64GetDatum(line->seller_id);
	nulls[4] = (line->seller_id == 0);
	values[5] = CStringGetTextDatum(line->product_name);
	values[6] = ObjectIdGetDatum(commerce_enum_value("order_item_status", item->status));
	values[7] = Int64GetDatum(line->quantity);
	values[8] = Int64GetDatum(line->unit_price);
	values[9] = Int64GetDatum(line->unit_discount);
	values[10] = Int64GetDatum(line->unit_final);
	values[11] = Int64GetDatum(line->line_total);
	values[12] = Int64GetDatum(line->order_discount_share);
	values[13] = Int64GetDatum(line->shipping_fee);
	values[14] = Int64GetDatum(line->shipping_discount);
	values[15] = Int64GetDatum(line->coupon_issue_id);
	nulls[15] = (line->coupon_issue_id == 0);
	values[16] = Int64GetDatum(item->split_from);
	nulls[16] = (item->split_from == 0);
	row_writer_insert(writer, values, nulls);
}

void
order_items_insert(int64 order_id, const OrderItem *items, int n)
{
	RowWriter	writer;

	row_writer_open(&writer, "order_items", ITEM_COLUMNS);
	for (int i = 0; i < n; i++)
		write_item(&writer, order_id, &items[i]);
	row_writer_close(&writer);
}

static void
write_history(RowWriter *writer, const OrderItem *item, const char *from, const char *to, const Actor *actor)
{
	Datum		values[EVENT_COLUMNS] = {0};
	bool		nulls[EVENT_COLUMNS] = {false};

	values[0] = Int64GetDatum(commerce_nextval("order_item_events_id_seq"));
	values[1] = Int64GetDatum(item->id);
	nulls[2] = (from == NULL);
	if (from)
		values[2] = ObjectIdGetDatum(commerce_enum_value("order_item_status", from));
	values[3] = ObjectIdGetDatum(commerce_enum_value("order_item_status", to));
	values[4] = Int64GetDatum(item->line.quantity);
	values[5] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[6] = ObjectIdGetDatum(commerce_enum_value("actor_kind", actor->kind));
	values[7] = Int64GetDatum(actor->id);
	nulls[7] = (actor->id == 0);
	nulls[8] = (actor->note == NULL);
	if (actor->note)
		values[8] = CStringGetTextDatum(actor->note);
	values[9] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	row_writer_insert(writer, values, nulls);
}

void
order_items_record(OrderItem *const *items, int n, const char *from, const char *to, const Actor *actor)
{
	RowWriter	writer;

	row_writer_open(&writer, "order_item_events", EVENT_COLUMNS);
	for (int i = 0; i < n; i++)
		write_history(&writer, items[i], from, to, actor);
	row_writer_close(&writer);
}

void
order_items_record_first(const OrderItem *items, int n, int64 buyer_id, bool paid)
{
	const char *first = paid ? "PAID" : "PENDING_PAYMENT";
	Actor		buyer = {"BUYER", buyer_id, NULL};
	RowWriter	writer;

	row_writer_open(&writer, "order_item_events", EVENT_COLUMNS);
	for (int i = 0; i < n; i++)
	{
		const OrderItem *item = &items[i];

		write_history(&writer, item, NULL, first, &buyer);
		if (strcmp(item->status, first) != 0)
			write_history(&writer, item, first, item->status, &actor_system);
	}
	row_writer_close(&writer);
}

OrderItem *
order_items_read(int64 order_id, MemoryContext context, int *nitems)
{
	static SqlStatement read = {
		"SELECT i.id, i.seq::pg_catalog.int8, i.product_id, coalesce(i.seller_id, 0), i.product_name, i.status, "
		"i.quantity, i.unit_price, i.unit_discount, i.unit_final, i.line_total, i.order_discount_share, "
		"i.shipping_fee, i.shipping_discount, coalesce(i.coupon_issue_id, 0), coalesce(i.split_from, 0), "
		"i.delivered_at "
		"FROM commerce.order_items i WHERE i.order_id OPERATOR(pg_catalog.=) $1 ORDER BY i.seq",
		1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order_id);
	OrderItem  *items;
	int			n;

	SPI_connect();
	n = (int) sql_execute(&read, &id, NULL);
	items = MemoryContextAllocZero(context, (n + 1) * sizeof(OrderItem));
	for (int i = 0; i < n; i++)
	{
		OrderItem  *item = &items[i];
		Line	   *line = &item->line;

		item->id = sql_int64(i, 1);
		item->seq = (int) sql_int64(i, 2);
		item->status = MemoryContextStrdup(context, sql_text(i, 6));
		item->split_from = sql_int64(i, 16);
		item->delivered_at = sql_is_null(i, 17) ? 0 : sql_time(i, 17);
		line->product_id = sql_int64(i, 3);
		line->seller_id = sql_int64(i, 4);
		line->product_name = MemoryContextStrdup(context, sql_text(i, 5));
		line->quantity = sql_int64(i, 7);
		line->unit_price = sql_int64(i, 8);
		line->unit_discount = sql_int64(i, 9);
		line->unit_final = sql_int64(i, 10);
		line->line_total = sql_int64(i, 11);
		line->order_discount_share = sql_int64(i, 12);
		line->shipping_fee = sql_int64(i, 13);
		line->shipping_discount = sql_int64(i, 14);
		line->coupon_issue_id = sql_int64(i, 15);
	}
	SPI_finish();
	*nitems = n;
	return items;
}

int64
order_item_order(int64 item_id, int64 *seller_id)
{
	static SqlStatement read = {
		"SELECT i.order_id, i.seller_id FROM commerce.order_items i WHERE i.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	Datum		id = Int64GetDatum(item_id);
	int64		order_id = 0;

	SPI_connect();
	if (sql_execute(&read, &id, NULL) > 0)
	{
		order_id = sql_int64(0, 1);
		*seller_id = sql_is_null(0, 2) ? 0 : sql_int64(0, 2);
	}
	SPI_finish();
	return order_id;
}

bool
order_items_are_sellers(int64 order_id, int64 seller_id)
{
	static SqlStatement others = {
		"SELECT FROM commerce.order_items i WHERE i.order_id = $1 AND i.seller_id IS DISTINCT FROM $2 LIMIT 1",
		2, {INT8OID, INT8OID}
	};
	Datum		values[2] = {Int64GetDatum(order_id), Int64GetDatum(seller_id)};
	bool		found;

	SPI_connect();
	found = sql_execute(&others, values, NULL) > 0;
	SPI_finish();
	return !found;
}

Datum
order_item_row(int64 item_id)
{
	static SqlStatement read = {
		"SELECT i::commerce.order_items FROM commerce.order_items i WHERE i.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	Datum		id = Int64GetDatum(item_id);
	Datum		row;

	SPI_connect();
	sql_execute(&read, &id, NULL);
	row = sql_transfer(0, 1);
	SPI_finish();
	return row;
}

void
order_item_store_line(const OrderItem *item)
{
	static SqlStatement update = {
		"UPDATE commerce.order_items AS i SET quantity = $2, line_total = $3, order_discount_share = $4 "
		"WHERE i.id OPERATOR(pg_catalog.=) $1",
		4, {INT8OID, INT8OID, INT8OID, INT8OID}
	};
	Datum		values[4];

	values[0] = Int64GetDatum(item->id);
	values[1] = Int64GetDatum(item->line.quantity);
	values[2] = Int64GetDatum(item->line.line_total);
	values[3] = Int64GetDatum(item->line.order_discount_share);
	SPI_connect();
	sql_execute(&update, values, NULL);
	SPI_finish();
}

bool
order_item_has_status(const OrderItem *item, const char *status)
{
	return strcmp(item->status, status) == 0;
}

int64
order_item_net(const OrderItem *item)
{
	return item->line.line_total - item->line.order_discount_share;
}

/* Looks a step up: 1 when it is for a single item, 2 when it is for a whole order, 0 when there is none. */
static int
find_transition(const OrderItem *item, const char *status, const Actor *actor)
{
	static SqlStatement find = {
		"SELECT t.whole_order FROM commerce.order_item_transitions t "
		"WHERE t.from_status OPERATOR(pg_catalog.=) ($1::pg_catalog.text)::commerce.order_item_status "
		"AND t.to_status OPERATOR(pg_catalog.=) ($2::pg_catalog.text)::commerce.order_item_status "
		"AND t.actor OPERATOR(pg_catalog.=) ($3::pg_catalog.text)::commerce.actor_kind",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[3];
	int			found = 0;

	values[0] = CStringGetTextDatum(item->status);
	values[1] = CStringGetTextDatum(status);
	values[2] = CStringGetTextDatum(actor->kind);
	SPI_connect();
	if (sql_execute(&find, values, NULL) > 0)
		found = sql_bool(0, 1) ? 2 : 1;
	SPI_finish();
	return found;
}

bool
order_item_may_change(const OrderItem *item, const char *status, const Actor *actor, bool whole_order)
{
	return find_transition(item, status, actor) == (whole_order ? 2 : 1);
}

void
order_item_refuse_change(const OrderItem *item, const char *status, const Actor *actor)
{
	raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order_item"), D_INT("id", item->id),
				D_TEXT("from", item->status), D_TEXT("to", status), D_TEXT("actor", actor->kind));
}

void
order_items_set_status(OrderItem *const *items, int n, const char *status, const Actor *actor)
{
	static SqlStatement update = {
		"UPDATE commerce.order_items AS i SET status = ($2::pg_catalog.text)::commerce.order_item_status, "
		"delivered_at = CASE $2 WHEN 'DELIVERED' THEN pg_catalog.now() ELSE i.delivered_at END "
		"WHERE i.id OPERATOR(pg_catalog.=) ANY ($1)",
		2, {INT8ARRAYOID, TEXTOID}
	};
	int64	   *ids = palloc(n * sizeof(int64));
	Datum		values[2];

	if (!find_transition(items[0], status, actor))
		order_item_refuse_change(items[0], status, actor);
	for (int i = 0; i < n; i++)
		ids[i] = items[i]->id;
	values[0] = sql_int8_array(ids, n);
	values[1] = CStringGetTextDatum(status);
	SPI_connect();
	sql_execute(&update, values, NULL);
	SPI_finish();
	order_items_record(items, n, items[0]->status, status, actor);
	for (int i = 0; i < n; i++)
		items[i]->status = status;
}

bool
order_items_given_up(int64 order_id)
{
	static SqlStatement find = {
		"SELECT FROM commerce.order_items i, LATERAL (SELECT FROM commerce.order_item_events e "
		"  WHERE e.order_item_id OPERATOR(pg_catalog.=) i.id AND e.event OPERATOR(pg_catalog.=) 'CANCELLED' "
		"  AND e.actor OPERATOR(pg_catalog.<>) 'SYSTEM' LIMIT 1) e "
		"WHERE i.order_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order_id);
	bool		found;

	SPI_connect();
	found = sql_execute(&find, &id, NULL) > 0;
	SPI_finish();
	return !found;
}

int64 *
order_items_find_delivered(TimestampTz delivered_until, int64 max_orders, int *n)
{
	static SqlStatement find = {
		"SELECT i.order_id, pg_catalog.min(i.delivered_at) FROM commerce.order_items i "
		"WHERE i.status OPERATOR(pg_catalog.=) 'DELIVERED' AND i.delivered_at OPERATOR(pg_catalog.<=) $1 "
		"GROUP BY i.order_id ORDER BY 2 LIMIT $2",
		2, {TIMESTAMPTZOID, INT8OID}
	};
	Datum		values[2] = {TimestampTzGetDatum(delivered_until), Int64GetDatum(max_orders)};

	return sql_ids(&find, values, n);
}

static int
compare_moves(const void *a, const void *b)
{
	const StockMove *ma = a;
	const StockMove *mb = b;

	if (ma->product_id != mb->product_id)
		return ma->product_id < mb->product_id ? -1 : 1;
	return ma->order_item_id < mb->order_item_id ? -1 : ma->order_item_id > mb->order_item_id;
}

StockMove *
order_items_stock_moves(OrderItem *const *items, int n)
{
	StockMove  *moves = palloc(n * sizeof(StockMove));

	for (int i = 0; i < n; i++)
		moves[i] = (StockMove) {items[i]->line.product_id, items[i]->line.quantity, items[i]->id};
	qsort(moves, n, sizeof(StockMove), compare_moves);
	return moves;
}
