/*
 * overdue.c
 *	  Unpaid orders: they hold stock and coupons until they are paid or ended, and here they are ended.
 *
 * An order is overdue when its expires_at has passed.  Nothing depends on the sweeper that cancels overdue
 * orders: a request that is short of what they hold cancels those in its way (make_way.c).
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
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/row_reader.h"
#include "base/sql.h"
#include "base/sweep.h"
#include "escrow/gate.h"
#include "shop/balance.h"
#include "shop/charge.h"
#include "shop/coupon.h"
#include "shop/order_event.h"
#include "shop/overdue.h"

PG_FUNCTION_INFO_V1(commerce_end_unpaid_orders);
PG_FUNCTION_INFO_V1(commerce_expire_pending_orders);

const UnpaidEnd unpaid_expired = {PAYMENT_STATUS_EXPIRED, STOCK_REASON_EXPIRE, {ACTOR_KIND_SYSTEM, 0, NULL}, NULL};

/* What the balance has paid of the order comes back to it. */
static void
give_back_balance_part(const Order *order, PaymentStatus status)
{
	int64		amount = payment_end_balance_part(order->id, status);
	BalanceChange change;

	if (amount == 0)
		return;
	change = balance_add(order->user_id, amount);
	balance_record(order->user_id, BALANCE_ENTRY_KIND_REFUND, amount, &change, order->id, 0, NULL);
}

/* Everything of unpaid_end() but the stock; answers the order's items. */
static Datum
end_order(Order *order, OrderItem **items, const UnpaidEnd *end)
{
	Payment		payment = {
		.order_id = order->id,
		.user_id = order->user_id,
		.kind = PAYMENT_KIND_PAYMENT,
		.method = PAYMENT_METHOD_EXTERNAL,
	};
	UsedCoupon *coupons;
	int			ncoupons;
	Datum		row;

	payment_end_requested(&payment, end->payment_status, end->provider_event_id);
	give_back_balance_part(order, end->payment_status);
	for (int i = 0; i < order->nitems; i++)
		items[i] = &order->items[i];
	order_items_set_status(items, order->nitems, ORDER_ITEM_STATUS_CANCELLED, 0, &end->actor);
	row = order_save(order);
	order_write_payment_event(order, "PaymentFailed", "payment", &payment, NULL);
	order_write_event(order, "OrderCancelled");
	coupons = coupon_read_used(order->id, &ncoupons);
	coupon_restore(order->id, coupons, ncoupons);
	return row;
}

void
unpaid_end(Order **orders, int n, const UnpaidEnd *end, Datum *row)
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
		stock_give(order_items_stock_moves(items, nitems), nitems, end->stock_reason);
}

Order *
overdue_lock(int64 order_id, bool *busy)
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
		Order	   *order = overdue_lock(order_ids[i], &busy);

		if (order != NULL)
			orders[norders++] = order;
	}
	unpaid_end(orders, norders, &unpaid_expired, NULL);
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
	int			nids;
	int64	   *ids;

	if (!stock_locks_rows())
		return;
	ids = sql_ids(&find, SQL_ARGS(sql_int8_array(order_ids, n)), &nids);
	stock_lock(ids, nids);
}

static int64 *
find_overdue(int64 max, int64 skipped, int *n)
{
	static SqlStatement find = {
		SWEEP_DUE("SELECT o.id, o.expires_at AS at FROM commerce.orders o "
				  "WHERE o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' AND o.expires_at OPERATOR(pg_catalog.<=) $3"),
		3, {INT8OID, INT8OID, TIMESTAMPTZOID}
	};

	return sql_ids(&find, SQL_ARGS(Int64GetDatum(max), Int64GetDatum(skipped),
								   TimestampTzGetDatum(GetCurrentTimestamp())), n);
}

/* Whether any order at all is overdue; where these are ended in time, mostly none is. */
static bool
any_is_overdue(TimestampTz now)
{
	RowReader	orders;
	bool		found;

	row_push_snapshot();
	row_reader_open(&orders, TABLE_ORDERS, INDEX_ORDERS_EXPIRES_AT_IDX, 1);
	row_reader_seek_until(&orders, now);
	found = row_reader_next(&orders);
	row_reader_close(&orders);
	PopActiveSnapshot();
	return found;
}

int64 *
overdue_find(const int64 *product_ids, int n, int *norders)
{
	static SqlStatement find = {
		"WITH held AS MATERIALIZED (SELECT i.order_id FROM commerce.order_items i "
		"  WHERE i.product_id OPERATOR(pg_catalog.=) ANY ($1) AND i.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT') "
		"SELECT DISTINCT h.order_id FROM held h, LATERAL (SELECT FROM commerce.orders o "
		"  WHERE o.id OPERATOR(pg_catalog.=) h.order_id AND o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' "
		"  AND o.expires_at OPERATOR(pg_catalog.<=) $2 LIMIT 1) o ORDER BY h.order_id",
		2, {INT8ARRAYOID, TIMESTAMPTZOID}
	};
	TimestampTz now = GetCurrentTimestamp();

	*norders = 0;
	if (!any_is_overdue(now))
		return NULL;
	return sql_ids(&find, SQL_ARGS(sql_int8_array(product_ids, n), TimestampTzGetDatum(now)), norders);
}

int64 *
overdue_find_coupons(int64 user_id, const int64 *coupon_issue_ids, int n, int *norders)
{
	static SqlStatement find = {
		"SELECT DISTINCT o.id FROM commerce.coupon_issues i "
		"JOIN commerce.orders o ON o.id OPERATOR(pg_catalog.=) i.used_order_id "
		"WHERE i.id OPERATOR(pg_catalog.=) ANY ($1) AND i.user_id OPERATOR(pg_catalog.=) $2 "
		"AND o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' AND o.expires_at OPERATOR(pg_catalog.<=) $3 ORDER BY o.id",
		3, {INT8ARRAYOID, INT8OID, TIMESTAMPTZOID}
	};
	TimestampTz now = GetCurrentTimestamp();

	*norders = 0;
	if (!any_is_overdue(now))
		return NULL;
	return sql_ids(&find, SQL_ARGS(sql_int8_array(coupon_issue_ids, n), Int64GetDatum(user_id), TimestampTzGetDatum(now)),
				   norders);
}

/*
 * end_unpaid_orders(user_id bigint)
 *
 * Ends all unpaid orders and charges of a user whose row the caller has locked: nobody can make another one meanwhile.
 */
Datum
commerce_end_unpaid_orders(PG_FUNCTION_ARGS)
{
	static SqlStatement find = {
		"SELECT o.id FROM commerce.orders o WHERE o.user_id OPERATOR(pg_catalog.=) $1 "
		"AND o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' ORDER BY o.id",
		1, {INT8OID}, SQL_LATEST
	};
	int64		user_id = arg_int64(fcinfo, 0, "user_id");
	int			n;
	int64	   *ids = sql_ids(&find, SQL_ARGS(Int64GetDatum(user_id)), &n);
	Order	  **orders = palloc(n * sizeof(Order *));

	for (int i = 0; i < n; i++)
	{
		orders[i] = order_lock(ids[i], false);
		if (orders[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update")));
	}
	unpaid_end(orders, n, &unpaid_expired, NULL);
	charge_end_of_user(user_id);
	PG_RETURN_VOID();
}

/*
 * expire_pending_orders(max_rows int)
 *
 * Ends overdue orders and charges, and returns how many.
 */
Datum
commerce_expire_pending_orders(PG_FUNCTION_ARGS)
{
	static const Sweep end = {"overdue order", "ended", find_overdue, end_overdue, lock_products};
	int32		max_rows;
	int			ended;

	gate_enter("expire_pending_orders()");
	max_rows = arg_max_rows(fcinfo, 0);
	ended = sweep(&end, max_rows);
	if (ended < max_rows)
		ended += charge_end_overdue(max_rows - ended);
	PG_RETURN_INT32(ended);
}
