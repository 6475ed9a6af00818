/*
 * order.c
 *	  Orders: locking, reading, inserting and changing them with their items; owns commerce.orders.
 *
 * An order is changed under the locks of its user's row and its own, taken in this order, after the
 * gate and before coupons and products.  Whoever changes an item saves its order, which derives the
 * order's status and moves its event_key; so the order's row stands for all of its items.
 *
 * Invariants: the rows of an ordered line add up to what was ordered, in units and in money; a row's
 * net (line_total less its share of the order's discount) is what its units cost, and is never
 * computed anew.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/currency.h"
#include "base/row_reader.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "shop/order.h"
#include "shop/user.h"

#define LOCK_ORDER \
	"SELECT o.status, o.payment_method, o.created_at, " \
	"o.paid_at, o.expires_at, o.items_total, o.item_discount_total, o.order_discount, " \
	"o.shipping_discount, o.shipping_total, o.payment_amount, o.refunded_amount, o.tax_free_amount, " \
	"o.recipient_name, o.recipient_phone, o.recipient_address, o.recipient_memo, o.metadata, o.imported " \
	"FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE"

Datum
order_insert(const Order *order)
{
	const Totals *totals = &order->totals;
	Row			row = {0};

	currency_require();
	row_put_int64(&row, ORDERS_ID, order->id);
	row_put_int64(&row, ORDERS_USER_ID, order->user_id);
	row_put_label(&row, ORDERS_STATUS, TYPE_ORDER_STATUS, order->status);
	row_put_label(&row, ORDERS_PAYMENT_METHOD, TYPE_PAYMENT_METHOD, order->method);
	row_put_time(&row, ORDERS_CREATED_AT, order->created_at);
	row_put_time(&row, ORDERS_UPDATED_AT, order->created_at);
	row_put_time(&row, ORDERS_PAID_AT, order->paid_at);
	row_put_time(&row, ORDERS_EXPIRES_AT, order->expires_at);
	row_put_int64(&row, ORDERS_ITEMS_TOTAL, totals->items_total);
	row_put_int64(&row, ORDERS_ITEM_DISCOUNT_TOTAL, totals->item_discount_total);
	row_put_int64(&row, ORDERS_ORDER_DISCOUNT, totals->order_discount);
	row_put_int64(&row, ORDERS_SHIPPING_DISCOUNT, totals->shipping_discount);
	row_put_int64(&row, ORDERS_SHIPPING_TOTAL, totals->shipping_total);
	row_put_int64(&row, ORDERS_PAYMENT_AMOUNT, totals->payment_amount);
	row_put_int64(&row, ORDERS_REFUNDED_AMOUNT, order->refunded_amount);
	row_put_int64(&row, ORDERS_EVENT_KEY, order->event_key);
	row_put_text(&row, ORDERS_RECIPIENT_NAME, order->recipient.name);
	row_put_text(&row, ORDERS_RECIPIENT_PHONE, order->recipient.phone);
	row_put_text(&row, ORDERS_RECIPIENT_ADDRESS, order->recipient.address);
	row_put_text(&row, ORDERS_RECIPIENT_MEMO, order->recipient.memo);
	row_put_int64(&row, ORDERS_TAX_FREE_AMOUNT, totals->tax_free_amount);
	row_put_varlena(&row, ORDERS_METADATA, order->metadata);
	row_put_bool(&row, ORDERS_IMPORTED, order->imported);
	return row_insert_returning(TABLE_ORDERS, ORDERS_COLUMNS, &row);
}

int64
order_count_unpaid(int64 user_id)
{
	TimestampTz now = GetCurrentTimestamp();
	RowReader	unpaid;
	int64		n = 0;

	row_push_latest_snapshot();
	row_reader_open(&unpaid, TABLE_ORDERS, INDEX_ORDERS_UNPAID_IDX, 1);
	row_reader_seek(&unpaid, &user_id);
	while (row_reader_next(&unpaid))
		n += row_int64(&unpaid, ORDERS_EXPIRES_AT) > now;
	row_reader_close(&unpaid);
	PopActiveSnapshot();
	return n;
}

/* Whether a user has an order that is not paid. */
static bool
has_unpaid(int64 user_id)
{
	RowReader	reader;
	bool		found;

	row_push_snapshot();
	row_reader_open(&reader, TABLE_ORDERS, INDEX_ORDERS_UNPAID_IDX, 1);
	row_reader_seek(&reader, &user_id);
	found = row_reader_next(&reader);
	row_reader_close(&reader);
	PopActiveSnapshot();
	return found;
}

/* Most who are refused have none: that is looked up without the executor. */
int64
order_find_unpaid(int64 user_id, int64 product_id, int64 units)
{
	static SqlStatement find = {
		"SELECT pg_catalog.min(o.id) FROM commerce.orders o "
		"JOIN commerce.order_items i ON i.order_id OPERATOR(pg_catalog.=) o.id AND i.product_id OPERATOR(pg_catalog.=) $2 "
		"WHERE o.user_id OPERATOR(pg_catalog.=) $1 AND o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' "
		"HAVING pg_catalog.sum(i.quantity) OPERATOR(pg_catalog.>=) $3",
		3, {INT8OID, INT8OID, INT8OID}
	};
	int64		id = 0;

	if (has_unpaid(user_id))
		(void) sql_get_int64(&find, SQL_ARGS(Int64GetDatum(user_id), Int64GetDatum(product_id), Int64GetDatum(units)), &id);
	return id;
}

Datum
order_store_recipient(Order *order)
{
	static SqlStatement update = {
		"UPDATE commerce.orders AS o SET recipient_name = $2, recipient_phone = $3, recipient_address = $4, "
		"recipient_memo = $5, updated_at = pg_catalog.now(), "
		"event_key = greatest(o.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) "
		"WHERE o.id OPERATOR(pg_catalog.=) $1 RETURNING o.event_key, o::commerce.orders AS row",
		5, {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
	};
	const char *const texts[] = {order->recipient.name, order->recipient.phone, order->recipient.address, order->recipient.memo};
	Datum		values[5] = {Int64GetDatum(order->id)};
	char		nulls[] = "     ";
	SqlResult	stored;

	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		if (texts[i])
			values[i + 1] = CStringGetTextDatum(texts[i]);
		else
			nulls[i + 1] = 'n';
	}
	stored = sql_query_with_nulls(&update, values, nulls);
	(void) result_next(&stored);
	order->event_key = result_int64(&stored, "event_key");
	return result_varlena(&stored, "row");
}

int64
order_user(int64 order_id)
{
	static SqlStatement read = {
		"SELECT o.user_id FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	int64		user_id = 0;

	(void) sql_get_int64(&read, SQL_ARGS(Int64GetDatum(order_id)), &user_id);
	return user_id;
}

Order *
order_lock(int64 order_id, bool skip_locked)
{
	static SqlStatement lock = {LOCK_ORDER, 1, {INT8OID}};
	static SqlStatement try_lock = {LOCK_ORDER " SKIP LOCKED", 1, {INT8OID}};
	Order	   *order = palloc0(sizeof(Order));
	Totals	   *totals = &order->totals;
	SqlResult	row;

	order->id = order_id;
	order->user_id = order_user(order_id);
	if (order->user_id == 0 || !user_lock(order->user_id, skip_locked))
		return NULL;
	row = sql_query(skip_locked ? &try_lock : &lock, SQL_ARGS(Int64GetDatum(order_id)));
	if (!result_next(&row))
		return NULL;
	order->status = result_label(&row, "status", TYPE_ORDER_STATUS);
	order->method = result_label(&row, "payment_method", TYPE_PAYMENT_METHOD);
	order->created_at = result_time(&row, "created_at");
	order->paid_at = result_time(&row, "paid_at");
	order->expires_at = result_time(&row, "expires_at");
	totals->items_total = result_int64(&row, "items_total");
	totals->item_discount_total = result_int64(&row, "item_discount_total");
	totals->order_discount = result_int64(&row, "order_discount");
	totals->shipping_discount = result_int64(&row, "shipping_discount");
	totals->shipping_total = result_int64(&row, "shipping_total");
	totals->payment_amount = result_int64(&row, "payment_amount");
	order->refunded_amount = result_int64(&row, "refunded_amount");
	totals->tax_free_amount = result_int64(&row, "tax_free_amount");
	order->recipient.name = result_text(&row, "recipient_name");
	order->recipient.phone = result_text(&row, "recipient_phone");
	order->recipient.address = result_text(&row, "recipient_address");
	order->recipient.memo = result_text(&row, "recipient_memo");
	if (!result_is_null(&row, "metadata"))
		order->metadata = DatumGetJsonbP(result_varlena(&row, "metadata"));
	order->imported = result_bool(&row, "imported");
	order->items = order_items_read(order_id, &order->nitems);
	return order;
}

OrderItem *
order_find_item(const Order *order, int64 item_id)
{
	for (int i = 0; i < order->nitems; i++)
		if (order->items[i].id == item_id)
			return &order->items[i];
	return NULL;
}

OrderItem **
order_all_items(const Order *order)
{
	OrderItem **items = palloc(order->nitems * sizeof(OrderItem *));

	for (int i = 0; i < order->nitems; i++)
		items[i] = &order->items[i];
	return items;
}

OrderItem *
order_split_item(Order *order, OrderItem *item, int64 quantity)
{
	Line	   *line = &item->line;
	OrderItem  *part = &order->items[order->nitems];
	Line	   *part_line = &part->line;
	int64		whole = line->quantity + item->split_quantity;
	int64		net = order_item_net(item) + item->split_net;
	int64		before = item->split_quantity;
	int64		part_net = pricing_share_of(net, before + quantity, whole) - pricing_share_of(net, before, whole);

	Assert(quantity > 0 && quantity < line->quantity);
	*part = *item;
	part->id = catalog_nextval(SEQUENCE_ORDER_ITEMS_ID);
	part->seq = part[-1].seq + 1;
	part->split_from = item->id;
	part->split_off = true;
	part->split_quantity = part->split_net = 0;
	part->last_event = 0;
	part_line->quantity = quantity;
	part_line->line_total = line->unit_final * quantity;
	part_line->order_discount_share = part_line->line_total - part_net;
	part_line->shipping_fee = 0;
	part_line->shipping_discount = 0;
	line->quantity -= quantity;
	line->line_total -= part_line->line_total;
	line->order_discount_share -= part_line->order_discount_share;
	item->split_quantity += quantity;
	item->split_net += part_net;
	order->nitems++;

	order_item_store(item, order->user_id);
	order_items_insert(order->id, order->user_id, part, 1);
	return part;
}

/* Whether an item is out of its order. */
static bool
is_gone(OrderItemStatus status)
{
	return status == ORDER_ITEM_STATUS_CANCELLED || status == ORDER_ITEM_STATUS_RETURNED;
}

/* Whether the buyer has an item. */
static bool
is_done(OrderItemStatus status)
{
	return status == ORDER_ITEM_STATUS_DELIVERED || status == ORDER_ITEM_STATUS_CONFIRMED ||
		status == ORDER_ITEM_STATUS_EXCHANGED;
}

/* The status that an order has by its items. */
static OrderStatus
derive_status(const Order *order)
{
	int			pending = 0;
	int			gone = 0;
	int			done = 0;

	for (int i = 0; i < order->nitems; i++)
	{
		OrderItemStatus status = order->items[i].status;

		pending += status == ORDER_ITEM_STATUS_PENDING_PAYMENT;
		gone += is_gone(status);
		done += is_done(status);
	}
	if (pending == order->nitems)
		return ORDER_STATUS_PENDING_PAYMENT;
	if (gone == order->nitems)
		return order->paid_at ? ORDER_STATUS_REFUNDED : ORDER_STATUS_CANCELLED;
	if (gone + done == order->nitems)
		return ORDER_STATUS_COMPLETED;
	return gone > 0 ? ORDER_STATUS_PARTIALLY_CANCELLED : ORDER_STATUS_PAID;
}

Datum
order_save(Order *order)
{
	static SqlStatement update = {
		"UPDATE commerce.orders AS o SET status = ($2::pg_catalog.text)::commerce.order_status, paid_at = $3, "
		"expires_at = $5, refunded_amount = $4, "
		"updated_at = pg_catalog.now(), event_key = greatest(o.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) "
		"WHERE o.id OPERATOR(pg_catalog.=) $1 RETURNING o.event_key, o::commerce.orders AS row",
		5, {INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID}
	};
	char		nulls[] = "     ";
	SqlResult	saved;

	order->status = derive_status(order);
	if (order->status != ORDER_STATUS_PENDING_PAYMENT)
		order->expires_at = 0;
	if (order->paid_at == 0)
		nulls[2] = 'n';
	if (order->expires_at == 0)
		nulls[4] = 'n';
	saved = sql_query_with_nulls(&update, SQL_ARGS(Int64GetDatum(order->id),
												   catalog_label_text(TYPE_ORDER_STATUS, order->status),
												   TimestampTzGetDatum(order->paid_at),
												   Int64GetDatum(order->refunded_amount),
												   TimestampTzGetDatum(order->expires_at)),
								 nulls);
	(void) result_next(&saved);
	order->event_key = result_int64(&saved, "event_key");
	return result_varlena(&saved, "row");
}

Datum
order_row(int64 order_id)
{
	static SqlStatement read = {
		"SELECT o::commerce.orders FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};

	return sql_get_row(&read, SQL_ARGS(Int64GetDatum(order_id)));
}

int64
order_tax_free_part(const Order *order, PaymentMethod method, int64 amount)
{
	const Totals *totals = &order->totals;
	int64		by_provider = method == PAYMENT_METHOD_EXTERNAL ? amount : totals->payment_amount - amount;
	int64		part = 0;

	if (totals->payment_amount > 0)
		part = pricing_share_of(totals->tax_free_amount, by_provider, totals->payment_amount);
	return method == PAYMENT_METHOD_EXTERNAL ? part : totals->tax_free_amount - part;
}

int64
order_row_id(Datum row)
{
	bool		isnull;

	return DatumGetInt64(GetAttributeByName(DatumGetHeapTupleHeader(row), "id", &isnull));
}

Datum
order_stored(Datum stored)
{
	static SqlStatement populate = {
		"SELECT r FROM pg_catalog.jsonb_populate_record(NULL::commerce.orders, $1) AS r", 1, {JSONBOID}
	};

	return sql_get_row(&populate, &stored);
}
