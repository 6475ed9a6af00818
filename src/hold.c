/*
 * hold.c
 *	  Orders whose payment is pending hold stock and coupons; here they let go.
 *
 * An order is overdue when its expires_at has passed.  Nothing depends on the sweeper that cancels
 * overdue orders: an order that is short of stock cancels those in its way by itself.
 *
 * Lock order: user's row, order's row, coupons by id, products by id.  Where several orders are ended
 * at once, users' and orders' rows that somebody else has are passed over; a coupon in use is locked by
 * nobody who waits for anything; and the products of all of them are given back together, by ascending id.
 *
 * What is passed over may be what a buyer needs: whoever has it may be ending it, and may roll that back.
 * So a buyer who is short without it waits for him, and then looks again.  He does so before he locks or
 * ends anything, and keeps no row that he got by waiting; therefore such buyers cannot block each other.
 * One whom others have forestalled since has locked something, and waits no more.
 * Having waited, he takes the first ones only, up to one that somebody has: of several who each need more
 * than one order, and come at the same time, the one who gets the first goes on.
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
#include "lock_wait.h"
#include "row_reader.h"
#include "spi_util.h"
#include "subtransaction.h"

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

/* What became of orders that were found to be overdue. */
typedef struct Overdue
{
	Order	  **orders;			/* locked, and overdue still */
	int			norders;
	bool		gone;			/* some were not overdue any more */
	int64		busy;			/* the first one that somebody is working on; 0: none */
} Overdue;

/* Locks what nobody else has; without pass_over it looks no further than the first that somebody has. */
static Overdue
lock_overdue(const int64 *ids, int n, bool pass_over)
{
	Overdue		overdue = {palloc((n + 1) * sizeof(Order *)), 0, false, 0};

	for (int i = 0; i < n && (pass_over || overdue.busy == 0); i++)
	{
		Order	   *order = order_lock(ids[i], true);

		if (order == NULL)
			overdue.busy = overdue.busy ? overdue.busy : ids[i];
		else if (order->expires_at != 0 && order->expires_at <= GetCurrentTimestamp())
			overdue.orders[overdue.norders++] = order;
		else
			overdue.gone = true;
	}
	return overdue;
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
	Overdue		overdue;
	int64	   *ids;
	int			n;

	SPI_connect();
	n = (int) sql_execute(&find, values, NULL);
	ids = copy_ids(n, context);
	SPI_finish();

	overdue = lock_overdue(ids, n, true);
	hold_end(overdue.orders, overdue.norders, &hold_expired, NULL);
	return overdue.norders;
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
lock_products(const Overdue *overdue, const QuoteRequest *request)
{
	int			count = request->nproducts;
	int64	   *ids;

	for (int i = 0; i < overdue->norders; i++)
		count += overdue->orders[i]->nitems;
	ids = palloc(count * sizeof(int64));
	count = 0;
	for (int i = 0; i < request->nproducts; i++)
		ids[count++] = request->product_ids[i];
	for (int i = 0; i < overdue->norders; i++)
		for (int j = 0; j < overdue->orders[i]->nitems; j++)
			ids[count++] = overdue->orders[i]->items[j].line->product_id;
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

/* The overdue orders that hold any of *n products; *n: how many. */
static int64 *
find_overdue_of(const int64 *product_ids, int *n)
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
	int64	   *ids;

	if (!any_is_overdue(now))
	{
		*n = 0;
		return NULL;
	}
	values[0] = sql_int8_array(product_ids, *n);
	values[1] = TimestampTzGetDatum(now);
	values[2] = Int64GetDatum(MAX_IN_THE_WAY);
	SPI_connect();
	*n = (int) sql_execute(&find, values, NULL);
	ids = copy_ids(*n, context);
	SPI_finish();
	return ids;
}

/* Whether what is asked for is short even when the locked orders have let go. */
static bool
is_short_without(const Overdue *overdue, const QuoteRequest *request)
{
	int64	   *needed = palloc(request->nproducts * sizeof(int64));

	memcpy(needed, request->units, request->nproducts * sizeof(int64));
	for (int i = 0; i < overdue->norders; i++)
		for (int j = 0; j < overdue->orders[i]->nitems; j++)
		{
			const QuoteLine *line = overdue->orders[i]->items[j].line;
			const int64 *found = bsearch(&line->product_id, request->product_ids, request->nproducts, sizeof(int64),
										 compare_ids);

			if (found)
				needed[found - request->product_ids] -= line->quantity;
		}
	for (int i = 0; i < request->nproducts; i++)
		if (needed[i] > 0 && stock_is_short(request->product_ids[i], needed[i]))
			return true;
	return false;
}

/* An attempt to lock the orders that are in a request's way. */
typedef struct Attempt
{
	const int64 *ids;			/* of the orders */
	int			n;
	const QuoteRequest *request;
	int64		buyer_id;		/* whose row is locked first, or 0 */
	bool		pass_over;
	Overdue		overdue;
	HoldsInTheWay result;
} Attempt;

/* Answers whether anything was locked that is to be ended. */
static bool
lock_holds(void *arg)
{
	Attempt    *attempt = arg;
	Overdue    *overdue = &attempt->overdue;

	if (attempt->buyer_id != 0)
		(void) user_lock(attempt->buyer_id, false);
	*overdue = lock_overdue(attempt->ids, attempt->n, attempt->pass_over);
	if (stock_locks_rows())
		lock_products(overdue, attempt->request);
	if (overdue->busy != 0 && is_short_without(overdue, attempt->request))
		attempt->result = HOLDS_BUSY;
	else if (overdue->norders > 0)
		attempt->result = HOLDS_ENDED;
	else
		attempt->result = overdue->gone ? HOLDS_GONE : HOLDS_NONE;
	return attempt->result == HOLDS_ENDED;
}

HoldsInTheWay
hold_end_in_the_way(const int64 *product_ids, int n, const QuoteRequest *request, int64 buyer_id, bool pass_over,
					int64 *busy)
{
	Attempt		attempt = {NULL, 0, request, buyer_id, pass_over};

	attempt.ids = find_overdue_of(product_ids, &n);
	attempt.n = n;
	if (n == 0)
		return HOLDS_NONE;

	/* nothing stays locked that is not needed: we may wait now */
	if (subtransaction_keep_if(lock_holds, &attempt))
		hold_end(attempt.overdue.orders, attempt.overdue.norders, &hold_expired, NULL);
	*busy = attempt.overdue.busy;
	return attempt.result;
}

static void
lock_order(const void *id)
{
	(void) order_lock(*(const int64 *) id, false);
}

bool
hold_wait(int64 order_id, TimestampTz end)
{
	return lock_wait(lock_order, &order_id, end);
}
