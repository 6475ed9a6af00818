/*
 * hold.c
 *	  Orders whose payment is pending hold stock and coupons; here they let go.
 *
 * An order is overdue when its expires_at has passed.  Nothing depends on the sweeper that cancels
 * overdue orders: a request that is short of what they hold cancels those in its way (make_way.c).
 *
 * Lock order: user's row, order's row, coupons by id, products by id.  Where several orders are ended
 * at once, users' and orders' rows that somebody else has are passed over; a coupon in use is locked by
 * nobody who waits for anything; and the products of all of them are given back together, by ascending id,
 * or locked together, before the orders are ended one by one because some of them cannot be.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/spi_util.h"
#include "base/sweep.h"
#include "shop/coupon.h"
#include "shop/hold.h"

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
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext one_order = AllocSetContextCreate(caller, "commerce order", ALLOCSET_DEFAULT_SIZES);
	OrderItem **items;
	int			nitems = 0;

	for (int i = 0; i < n; i++)
		nitems += orders[i]->nitems;
	items = palloc(nitems * sizeof(OrderItem *));
	nitems = 0;
	for (int i = 0; i < n; i++)
	{
		Datum		saved;

		MemoryContextSwitchTo(one_order);
		saved = end_order(orders[i], items + nitems, end);
		MemoryContextSwitchTo(caller);
		if (row)
			*row = datumCopy(saved, false, -1);
		MemoryContextReset(one_order);
		nitems += orders[i]->nitems;
	}
	MemoryContextDelete(one_order);
	if (nitems > 0)
		stock_give(order_stock_moves(items, nitems), nitems, end->stock_reason);
}

Order *
hold_lock_overdue(int64 order_id, bool *busy)
{
	Order	   *order = order_lock(order_id, true);

	*busy = (order == NULL);
	if (order == NULL || order->expires_at == 0 || order->expires_at > GetCurrentTimestamp())
		return NULL;
	return order;
}

static int
end_overdue(const int64 *order_ids, int n)
{
	Order	  **orders = palloc(n * sizeof(Order *));
	int			norders = 0;

	for (int i = 0; i < n; i++)
	{
		bool		busy;
		Order	   *order = hold_lock_overdue(order_ids[i], &busy);

		if (order != NULL)
			orders[norders++] = order;
	}
	hold_end(orders, norders, &hold_expired, NULL);
	return norders;
}

/* Locks the rows of all products of some orders, where a product's stock is a row that is locked. */
static void
lock_products(const int64 *order_ids, int n)
{
	static SqlStatement find = {
		"SELECT DISTINCT i.product_id FROM commerce.order_items i WHERE i.order_id OPERATOR(pg_catalog.=) ANY ($1)",
		1, {INT8ARRAYOID}
	};
	Datum		value = sql_int8_array(order_ids, n);
	int			nids;
	int64	   *ids;

	if (!stock_locks_rows())
		return;
	ids = sql_ids(&find, &value, &nids);
	stock_lock(ids, nids);
}

int
hold_end_overdue(int max_orders)
{
	static const Sweep end = {"overdue order", "ended", end_overdue, lock_products};
	static SqlStatement find = {
		"SELECT o.id FROM commerce.orders o WHERE o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' "
		"AND o.expires_at OPERATOR(pg_catalog.<=) $1 ORDER BY o.expires_at LIMIT $2",
		2, {TIMESTAMPTZOID, INT8OID}
	};
	Datum		values[2] = {TimestampTzGetDatum(GetCurrentTimestamp()), Int64GetDatum(max_orders)};
	int			n;
	int64	   *ids = sql_ids(&find, values, &n);

	return sweep(&end, ids, n);
}
