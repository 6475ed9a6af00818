/*
 * order.c
 *	  Orders that are there: locking, reading and changing rows of commerce.orders and order_items.
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
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "shop/order.h"
#include "shop/user.h"

#define ORDER_COLUMNS	16

#define LOCK_ORDER \
	"SELECT o.status, o.payment_method OPERATOR(pg_catalog.=) 'EXTERNAL', o.created_at, " \
	"o.paid_at, o.expires_at, o.items_total, o.item_discount_total, o.order_discount, " \
	"o.shipping_discount, o.shipping_total, o.payment_amount, o.refunded_amount " \
	"FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE"

Datum
order_insert(const Order *order)
{
	const Totals *totals = &order->totals;
	Datum		values[ORDER_COLUMNS] = {0};
	bool		nulls[ORDER_COLUMNS] = {false};

	values[0] = Int64GetDatum(order->id);
	values[1] = Int64GetDatum(order->user_id);
	values[2] = ObjectIdGetDatum(commerce_enum_value("order_status", order->status));
	values[3] = ObjectIdGetDatum(commerce_enum_value("payment_method", payment_method_labels[order->method]));
	values[4] = TimestampTzGetDatum(order->created_at);
	values[5] = TimestampTzGetDatum(order->created_at); /* updated_at */
	values[6] = TimestampTzGetDatum(order->paid_at);
	nulls[6] = (order->paid_at == 0);
	values[7] = TimestampTzGetDatum(order->expires_at);
	nulls[7] = (order->expires_at == 0);
	values[8] = Int64GetDatum(totals->items_total);
	values[9] = Int64GetDatum(totals->item_discount_total);
	values[10] = Int64GetDatum(totals->order_discount);
	values[11] = Int64GetDatum(totals->shipping_discount);
	values[12] = Int64GetDatum(totals->shipping_total);
	values[13] = Int64GetDatum(totals->payment_amount);
	values[14] = Int64GetDatum(0);	/* refunded_amount */
	values[15] = FullTransactionIdGetDatum(FullTransactionIdFromU64(order->event_key));
	return row_insert_returning("orders", ORDER_COLUMNS, values, nulls);
}

static TimestampTz
time_or_none(uint64 row, int col)
{
	return sql_is_null(row, col) ? 0 : sql_int64(row, col);
}

int64
order_user(int64 order_id)
{
	static SqlStatement read = {
		"SELECT o.user_id FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order_id);
	int64		user_id = 0;

	SPI_connect();
	if (sql_execute(&read, &id, NULL) > 0)
		user_id = sql_int64(0, 1);
	SPI_finish();
	return user_id;
}

Order *
order_lock(int64 order_id, bool skip_locked)
{
	static SqlStatement lock = {LOCK_ORDER, 1, {INT8OID}};
	static SqlStatement try_lock = {LOCK_ORDER " SKIP LOCKED", 1, {INT8OID}};
	MemoryContext context = CurrentMemoryContext;
	Datum		id = Int64GetDatum(order_id);
	Order	   *order = palloc0(sizeof(Order));

	order->id = order_id;
	order->user_id = order_user(order_id);
	if (order->user_id == 0)
		return NULL;
	SPI_connect();
	if (!user_lock(order->user_id, skip_locked) ||
		sql_execute(skip_locked ? &try_lock : &lock, &id, NULL) == 0)
	{
		SPI_finish();
		return NULL;
	}
	order->status = MemoryContextStrdup(context, sql_text(0, 1));
	order->method = sql_bool(0, 2) ? PAYMENT_EXTERNAL : PAYMENT_BALANCE;
	order->created_at = sql_int64(0, 3);
	order->paid_at = time_or_none(0, 4);
	order->expires_at = time_or_none(0, 5);
	order->totals.items_total = sql_int64(0, 6);
	order->totals.item_discount_total = sql_int64(0, 7);
	order->totals.order_discount = sql_int64(0, 8);
	order->totals.shipping_discount = sql_int64(0, 9);
	order->totals.shipping_total = sql_int64(0, 10);
	order->totals.payment_amount = sql_int64(0, 11);
	order->refunded_amount = sql_int64(0, 12);
	SPI_finish();
	order->items = order_items_read(order_id, context, &order->nitems);
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

/* Sums what an item was before anything was split off it: its own row and, transitively, its parts. */
static void
sum_whole(Order *order, const OrderItem *item, int64 *quantity, int64 *net)
{
	bool	   *counted = palloc0(order->nitems * sizeof(bool));

	*quantity = 0;
	*net = 0;
	for (int i = item - order->items; i < order->nitems; i++)
	{
		OrderItem  *part = &order->items[i];
		OrderItem  *parent = part->split_from ? order_find_item(order, part->split_from) : NULL;

		/* a part comes after what it was split off */
		counted[i] = (part == item) || (parent && counted[parent - order->items]);
		if (counted[i])
		{
			*quantity += part->line.quantity;
			*net += order_item_net(part);
		}
	}
	pfree(counted);
}

OrderItem *
order_split_item(Order *order, OrderItem *item, int64 quantity)
{
	Line	   *line = &item->line;
	OrderItem  *part = &order->items[order->nitems];
	Line	   *part_line = &part->line;
	int64		whole;
	int64		net;
	int64		before;
	int64		part_net;

	Assert(quantity > 0 && quantity < line->quantity);
	sum_whole(order, item, &whole, &net);
	before = whole - line->quantity;
	part_net = pricing_share_of(net, before + quantity, whole) - pricing_share_of(net, before, whole);

	*part_line = *line;
	part_line->quantity = quantity;
	part_line->line_total = line->unit_final * quantity;
	part_line->order_discount_share = part_line->line_total - part_net;
	part_line->shipping_fee = 0;
	part_line->shipping_discount = 0;
	line->quantity -= quantity;
	line->line_total -= part_line->line_total;
	line->order_discount_share -= part_line->order_discount_share;

	part->id = commerce_nextval("order_items_id_seq");
	part->seq = part[-1].seq + 1;
	part->status = item->status;
	part->split_from = item->id;
	order->nitems++;

	order_item_store_line(item);
	order_items_insert(order->id, part, 1);
	return part;
}

static bool
is_one_of(const char *label, const char *const *labels)
{
	for (; *labels; labels++)
		if (strcmp(label, *labels) == 0)
			return true;
	return false;
}

/* The status that an order has by its items. */
static const char *
derive_status(const Order *order)
{
	static const char *const gone_labels[] = {"CANCELLED", "RETURNED", NULL};
	static const char *const done_labels[] = {"DELIVERED", "CONFIRMED", "EXCHANGED", NULL};
	int			pending = 0;
	int			gone = 0;
	int			done = 0;

	for (int i = 0; i < order->nitems; i++)
	{
		const char *status = order->items[i].status;

		pending += strcmp(status, "PENDING_PAYMENT") == 0;
		gone += is_one_of(status, gone_labels);
		done += is_one_of(status, done_labels);
	}
	if (pending == order->nitems)
		return "PENDING_PAYMENT";
	if (gone == order->nitems)
		return order->paid_at ? "REFUNDED" : "CANCELLED";
	if (gone + done == order->nitems)
		return "COMPLETED";
	return gone > 0 ? "PARTIALLY_CANCELLED" : "PAID";
}

Datum
order_save(Order *order)
{
	static SqlStatement update = {
		"UPDATE commerce.orders AS o SET status = ($2::pg_catalog.text)::commerce.order_status, paid_at = $3, "
		"expires_at = CASE $2 WHEN 'PENDING_PAYMENT' THEN o.expires_at END, refunded_amount = $4, "
		"updated_at = pg_catalog.now(), event_key = greatest(o.event_key, pg_catalog.pg_current_xact_id()) "
		"WHERE o.id OPERATOR(pg_catalog.=) $1 RETURNING o.event_key, o::commerce.orders",
		4, {INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID}
	};
	Datum		values[4];
	bool		isnull;
	Datum		row;

	order->status = derive_status(order);
	if (strcmp(order->status, "PENDING_PAYMENT") != 0)
		order->expires_at = 0;
	values[0] = Int64GetDatum(order->id);
	values[1] = CStringGetTextDatum(order->status);
	values[2] = TimestampTzGetDatum(order->paid_at);
	values[3] = Int64GetDatum(order->refunded_amount);
	SPI_connect();
	sql_execute(&update, values, order->paid_at ? NULL : "  n ");
	order->event_key = U64FromFullTransactionId(DatumGetFullTransactionId(sql_datum(0, 1, &isnull)));
	row = sql_transfer(0, 2);
	SPI_finish();
	return row;
}

Datum
order_row(int64 order_id)
{
	static SqlStatement read = {
		"SELECT o::commerce.orders FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order_id);
	Datum		row;

	SPI_connect();
	sql_execute(&read, &id, NULL);
	row = sql_transfer(0, 1);
	SPI_finish();
	return row;
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
	Datum		row;

	SPI_connect();
	sql_execute(&populate, &stored, NULL);
	row = sql_transfer(0, 1);
	SPI_finish();
	return row;
}
