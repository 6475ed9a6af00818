/*
 * order_state.c
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
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/spi_util.h"
#include "shop/balance.h"
#include "shop/order.h"

#define LOCK_ORDER \
	"SELECT o.status, o.payment_method OPERATOR(pg_catalog.=) 'EXTERNAL', o.created_at, " \
	"o.paid_at, o.expires_at, o.items_total, o.item_discount_total, o.order_discount, " \
	"o.shipping_discount, o.shipping_total, o.payment_amount, o.refunded_amount " \
	"FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE"

static TimestampTz
time_or_none(uint64 row, int col)
{
	return sql_is_null(row, col) ? 0 : sql_int64(row, col);
}

/* Reads the items of a locked order; room for one more is left. */
static void
read_items(Order *order, Quote *quote, MemoryContext context)
{
	static SqlStatement read = {
		"SELECT i.id, i.seq::pg_catalog.int8, i.product_id, coalesce(i.seller_id, 0), i.product_name, i.status, "
		"i.quantity, i.unit_price, i.unit_discount, i.unit_final, i.line_total, i.order_discount_share, "
		"i.shipping_fee, i.shipping_discount, coalesce(i.coupon_issue_id, 0), coalesce(i.split_from, 0), "
		"i.delivered_at "
		"FROM commerce.order_items i WHERE i.order_id OPERATOR(pg_catalog.=) $1 ORDER BY i.seq",
		1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order->id);
	int			n = (int) sql_execute(&read, &id, NULL);
	Product    *products = MemoryContextAllocZero(context, (n + 1) * sizeof(Product));

	quote->lines = MemoryContextAllocZero(context, (n + 1) * sizeof(QuoteLine));
	quote->nlines = n;
	order->items = MemoryContextAllocZero(context, (n + 1) * sizeof(OrderItem));
	order->nitems = n;
	for (int i = 0; i < n; i++)
	{
		OrderItem  *item = &order->items[i];
		QuoteLine  *line = &quote->lines[i];

		item->id = sql_int64(i, 1);
		item->seq = (int) sql_int64(i, 2);
		item->status = MemoryContextStrdup(context, sql_text(i, 6));
		item->split_from = sql_int64(i, 16);
		item->delivered_at = time_or_none(i, 17);
		item->line = line;
		line->product_id = sql_int64(i, 3);
		line->product = &products[i];
		line->product->id = line->product_id;
		line->product->seller_id = sql_int64(i, 4);
		line->product->name = MemoryContextStrdup(context, sql_text(i, 5));
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
}

Order *
order_lock(int64 order_id, bool skip_locked)
{
	static SqlStatement read_user = {
		"SELECT o.user_id FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	static SqlStatement lock = {LOCK_ORDER, 1, {INT8OID}};
	static SqlStatement try_lock = {LOCK_ORDER " SKIP LOCKED", 1, {INT8OID}};
	MemoryContext context = CurrentMemoryContext;
	Datum		id = Int64GetDatum(order_id);
	Order	   *order = palloc0(sizeof(Order));
	Quote	   *quote = palloc0(sizeof(Quote));

	SPI_connect();
	if (sql_execute(&read_user, &id, NULL) == 0)
	{
		SPI_finish();
		return NULL;
	}
	order->id = order_id;
	order->user_id = sql_int64(0, 1);
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
	quote->items_total = sql_int64(0, 6);
	quote->item_discount_total = sql_int64(0, 7);
	quote->order_discount = sql_int64(0, 8);
	quote->shipping_discount = sql_int64(0, 9);
	quote->shipping_total = sql_int64(0, 10);
	quote->payment_amount = sql_int64(0, 11);
	order->refunded_amount = sql_int64(0, 12);
	order->quote = quote;
	read_items(order, quote, context);
	SPI_finish();
	return order;
}

int64
order_of_item(int64 item_id)
{
	static SqlStatement read = {
		"SELECT i.order_id FROM commerce.order_items i WHERE i.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	Datum		id = Int64GetDatum(item_id);
	int64		order_id = 0;

	SPI_connect();
	if (sql_execute(&read, &id, NULL) > 0)
		order_id = sql_int64(0, 1);
	SPI_finish();
	return order_id;
}

OrderItem *
order_find_item(Order *order, int64 item_id)
{
	for (int i = 0; i < order->nitems; i++)
		if (order->items[i].id == item_id)
			return &order->items[i];
	return NULL;
}

int64
order_item_net(const OrderItem *item)
{
	return item->line->line_total - item->line->order_discount_share;
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
			*quantity += part->line->quantity;
			*net += order_item_net(part);
		}
	}
	pfree(counted);
}

OrderItem *
order_split_item(Order *order, OrderItem *item, int64 quantity)
{
	static SqlStatement reduce = {
		"UPDATE commerce.order_items AS i SET quantity = $2, line_total = $3, order_discount_share = $4 "
		"WHERE i.id OPERATOR(pg_catalog.=) $1",
		4, {INT8OID, INT8OID, INT8OID, INT8OID}
	};
	QuoteLine  *line = item->line;
	OrderItem  *part = &order->items[order->nitems];
	QuoteLine  *part_line = &order->quote->lines[order->nitems];
	int64		whole;
	int64		net;
	int64		before;
	int64		part_net;
	Datum		values[4];

	Assert(quantity > 0 && quantity < line->quantity);
	Assert(order->nitems == order->quote->nlines);
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
	part->line = part_line;
	part->split_from = item->id;
	order->nitems++;

	values[0] = Int64GetDatum(item->id);
	values[1] = Int64GetDatum(line->quantity);
	values[2] = Int64GetDatum(line->line_total);
	values[3] = Int64GetDatum(line->order_discount_share);
	SPI_connect();
	sql_execute(&reduce, values, NULL);
	SPI_finish();
	order_insert_item(order, part);
	return part;
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
order_may_change(const OrderItem *item, const char *status, const Actor *actor, bool whole_order)
{
	return find_transition(item, status, actor) == (whole_order ? 2 : 1);
}

void
order_refuse_change(const OrderItem *item, const char *status, const Actor *actor)
{
	raise_error(ERROR_INVALID_STATE_TRANSITION, "order item " INT64_FORMAT ": from %s to %s by %s",
				item->id, item->status, status, actor->kind);
}

void
order_set_items(OrderItem *const *items, int n, const char *status, const Actor *actor)
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
		order_refuse_change(items[0], status, actor);
	for (int i = 0; i < n; i++)
		ids[i] = items[i]->id;
	values[0] = sql_int8_array(ids, n);
	values[1] = CStringGetTextDatum(status);
	SPI_connect();
	sql_execute(&update, values, NULL);
	SPI_finish();
	order_insert_history(items, n, items[0]->status, status, actor);
	for (int i = 0; i < n; i++)
		items[i]->status = status;
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
order_stock_moves(OrderItem *const *items, int n)
{
	StockMove  *moves = palloc(n * sizeof(StockMove));

	for (int i = 0; i < n; i++)
		moves[i] = (StockMove) {items[i]->line->product_id, items[i]->line->quantity, items[i]->id};
	qsort(moves, n, sizeof(StockMove), compare_moves);
	return moves;
}
