/*
 * hold.c
 *	  Orders whose payment is pending hold stock and coupons; here they let go.
 *
 * An order is overdue when its expires_at has passed.  Nothing depends on the sweeper that cancels
 * overdue orders: an order that is short of stock cancels those in its way by itself.
 *
 * Lock order: user's row, order's row, coupons by id, products by id.  Where several orders are ended
 * at once, users' and orders' rows that somebody else has are passed over and never waited for; a
 * coupon in use is locked by nobody who waits for anything; and the products of all of them are given
 * back together, by ascending id.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "balance.h"
#include "compat.h"
#include "coupon.h"
#include "hold.h"
#include "row_reader.h"
#include "spi_util.h"

#define MAX_IN_THE_WAY	1000

const HoldEnd hold_expired = {"EXPIRED", "EXPIRE", {"SYSTEM", 0, NULL}, NULL};

/* Ends the payment that an order waits for. */
static Payment
end_payment(const Order *order, const HoldEnd *end)
{
	static SqlStatement update = {
		"UPDATE commerce.payments AS p SET status = ($2::pg_catalog.text)::commerce.payment_status, "
		"provider_event_id = $3, at = pg_catalog.now() "
		"WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' RETURNING p.id",
		3, {INT8OID, TEXTOID, TEXTOID}
	};
	Payment		payment = {0, "PAYMENT", order->method, end->payment_status, order->quote->payment_amount,
	end->provider_event_id};
	Datum		values[3];

	values[0] = Int64GetDatum(order->id);
	values[1] = CStringGetTextDatum(end->payment_status);
	values[2] = PointerGetDatum(end->provider_event_id);
	SPI_connect();
	if (sql_execute(&update, values, end->provider_event_id ? NULL : "  n") != 1)
		elog(ERROR, "order " INT64_FORMAT " does not wait for one payment", order->id);
	payment.id = sql_int64(0, 1);
	SPI_finish();
	return payment;
}

/* Everything of hold_end() but the stock; answers the order's items. */
static Datum
end_order(Order *order, OrderItem **items, const HoldEnd *end)
{
	Payment		payment = end_payment(order, end);
	JsonWriter	json = {0};
	UsedCoupon *coupons;
	int			ncoupons;
	Datum		row;

	for (int i = 0; i < order->nitems; i++)
		items[i] = &order->items[i];
	order_set_items(items, order->nitems, "CANCELLED", &end->actor);
	row = order_save(order);
	order_write_payment_event(order, "PaymentFailed", "payment", &payment);
	order_begin_event(&json, order);
	order_write_event(order, "OrderCancelled", &json);
	coupons = coupon_read_used(order->id, &ncoupons);
	coupon_restore(order->id, coupons, ncoupons);
	return row;
}

void
hold_end(Order **orders, int n, const HoldEnd *end, Datum *row)
{
	OrderItem **items;
	int			nitems = 0;

	for (int i = 0; i < n; i++)
		nitems += orders[i]->nitems;
	items = palloc(nitems * sizeof(OrderItem *));
	nitems = 0;
	for (int i = 0; i < n; i++)
	{
		Datum		saved = end_order(orders[i], items + nitems, end);

		nitems += orders[i]->nitems;
		if (row)
			*row = saved;
	}
	if (nitems > 0)
		stock_give(order_stock_moves(items, nitems), nitems, end->stock_reason);
}

/* Locks those of some orders that are overdue still, and whose rows nobody else has. */
static int
lock_overdue(const int64 *ids, int n, Order **orders)
{
	int			locked = 0;

	for (int i = 0; i < n; i++)
	{
		Order	   *order = order_lock(ids[i], true);

		if (order && order->expires_at != 0 && order->expires_at <= GetCurrentTimestamp())
			orders[locked++] = order;
	}
	return locked;
}

/* Reads a result of ids within SPI_connect(), into the caller's memory. */
static int64 *
copy_ids(int n, MemoryContext context)
{
	int64	   *ids = MemoryContextAlloc(context, (n + 1) * sizeof(int64));

	for (int i = 0; i < n; i++)
		ids[i] = sql_int64(i, 1);
	return ids;
}

int
hold_end_overdue(int max_orders)
{
	static SqlStatement find = {
		"SELECT o.id FROM commerce.orders o WHERE o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' "
		"AND o.expires_at OPERATOR(pg_catalog.<=) $1 ORDER BY o.expires_at LIMIT $2",
		2, {TIMESTAMPTZOID, INT8OID}
	};
	MemoryContext context = CurrentMemoryContext;
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp()), Int64GetDatum(max_orders)};
	Order	  **orders;
	int64	   *ids;
	int			n;

	SPI_connect();
	n = (int) sql_execute(&find, values, NULL);
	ids = copy_ids(n, context);
	SPI_finish();

	orders = palloc((n + 1) * sizeof(Order *));
	n = lock_overdue(ids, n, orders);
	hold_end(orders, n, &hold_expired, NULL);
	return n;
}

static int
compare_ids(const void *a, const void *b)
{
	int64		ia = *(const int64 *) a;
	int64		ib = *(const int64 *) b;

	return ia < ib ? -1 : ia > ib;
}

/* Locks the rows of all products that are about to be given or taken. */
static void
lock_products(Order *const *orders, int n, const Quote *quote)
{
	int			count = quote->nproducts;
	int64	   *ids;

	for (int i = 0; i < n; i++)
		count += orders[i]->nitems;
	ids = palloc(count * sizeof(int64));
	count = 0;
	for (int i = 0; i < quote->nproducts; i++)
		ids[count++] = quote->products[i].id;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < orders[i]->nitems; j++)
			ids[count++] = orders[i]->items[j].line->product_id;
	qsort(ids, count, sizeof(int64), compare_ids);
	stock_lock(ids, count);
}

/* Whether any order at all is overdue; where these are ended in time, mostly none is. */
static bool
any_is_overdue(TimestampTz now)
{
	RowReader	orders;
	bool		found;

	row_push_snapshot();
	row_reader_open(&orders, "orders", "orders_expires_at_idx", 1);
	row_reader_seek_until(&orders, now);
	found = row_reader_next(&orders);
	row_reader_close(&orders);
	PopActiveSnapshot();
	return found;
}

int
hold_end_overdue_of(const int64 *product_ids, int n, const Quote *quote, int64 buyer_id)
{
	static SqlStatement find = {
		"WITH held AS MATERIALIZED (SELECT i.order_id FROM commerce.order_items i "
		"  WHERE i.product_id OPERATOR(pg_catalog.=) ANY ($1) AND i.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT') "
		"SELECT DISTINCT h.order_id FROM held h, LATERAL (SELECT FROM commerce.orders o "
		"  WHERE o.id OPERATOR(pg_catalog.=) h.order_id AND o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' "
		"  AND o.expires_at OPERATOR(pg_catalog.<=) $2 LIMIT 1) o ORDER BY h.order_id LIMIT $3",
		3, {INT8ARRAYOID, TIMESTAMPTZOID, INT8OID}
	};
	MemoryContext context = CurrentMemoryContext;
	TimestampTz now = GetCurrentTimestamp();
	Datum		values[3];
	Order	  **orders;
	int64	   *ids;

	if (!any_is_overdue(now))
		return 0;
	values[0] = sql_int8_array(product_ids, n);
	values[1] = TimestampTzGetDatum(now);
	values[2] = Int64GetDatum(MAX_IN_THE_WAY);
	SPI_connect();
	n = (int) sql_execute(&find, values, NULL);
	ids = copy_ids(n, context);
	SPI_finish();
	if (n == 0)
		return 0;

	if (buyer_id != 0)
		(void) user_lock(buyer_id, false);
	orders = palloc(n * sizeof(Order *));
	n = lock_overdue(ids, n, orders);
	if (n > 0 && stock_locks_rows())
		lock_products(orders, n, quote);
	hold_end(orders, n, &hold_expired, NULL);
	return n;
}
