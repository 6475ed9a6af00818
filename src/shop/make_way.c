/*
 * make_way.c
 *	  Overdue orders give way to a request that is short of what they hold.
 *
 * Nobody is told that a product is sold out while overdue orders hold what he asks for: these are ended
 * first.  Whoever else is at work on one of them (ends it, confirms its payment, charges its buyer) may
 * roll that back; so a request that is short without it waits for him, and then looks again.
 *
 * An attempt runs in a subtransaction.  It locks the buyer's row and those overdue orders that nobody
 * has, as many as are needed, and then ends them; or it lets everything go, when somebody has to be waited
 * for, or when the request cannot be served even so.  So a buyer waits before he has locked or ended
 * anything, and keeps no row that he got by waiting: such buyers cannot block each other.  (The row of the
 * order sheet that he may have is wanted by nobody but who places the same sheet.)  One whom others
 * forestall when he takes his products has locked something, and waits no more (make_way_at_once()).
 *
 * Having waited, a buyer takes the first orders only, up to one that somebody has: of several who each
 * need more than one, and come at the same time, the one who gets the first goes on.
 *
 * Overdue orders of the buyer himself that hold coupons of his request are simply ended: his row is locked.
 *
 * Lock order: as overdue.c's, the buyer's row first.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/lock_wait.h"
#include "base/subtransaction.h"
#include "shop/overdue.h"
#include "shop/make_way.h"
#include "shop/user.h"

#define BATCH	1000			/* orders that are locked before it is seen whether they are enough */

/* An attempt to lock the overdue orders that are in a request's way. */
typedef struct Attempt
{
	const QuoteRequest *request;
	int64		buyer_id;		/* whose row is locked first; 0: nobody's */
	bool		partly;			/* what there is helps, also when it is not enough */
	bool		pass_over;		/* what somebody has; else the first such order is the last one looked at */
	int64	   *order_ids;		/* that were found, ascending */
	int			norder_ids;

	/* what came of it */
	Order	  **orders;			/* locked, and overdue still */
	int			norders;
	int64	   *missing;		/* units asked of each product, less what these orders hold */
	int64		busy;			/* the first order that somebody has; 0: none */
	bool		gone;			/* some order was not overdue any more */
	bool		blocked;		/* the request is short without what somebody has */
} Attempt;

static void
add_order(Attempt *attempt, Order *order)
{
	const QuoteRequest *request = attempt->request;

	attempt->orders[attempt->norders++] = order;
	for (int i = 0; i < order->nitems; i++)
	{
		const Line *line = &order->items[i].line;
		int			product = quote_product_index(request, line->product_id);

		if (product >= 0)
			attempt->missing[product] -= line->quantity;
	}
}

/* Whether a product is short, as stock.h finds it out, even when the locked orders have let go. */
static bool
any_is(bool (*is_short) (int64 product_id, int64 units), const Attempt *attempt)
{
	const QuoteRequest *request = attempt->request;

	for (int i = 0; i < request->nproducts; i++)
		if (attempt->missing[i] > 0 && is_short(request->product_ids[i], attempt->missing[i]))
			return true;
	return false;
}

static void
prepare_to_lock(Attempt *attempt)
{
	const QuoteRequest *request = attempt->request;

	attempt->norders = 0;
	attempt->orders = palloc(attempt->norder_ids * sizeof(Order *));
	attempt->missing = palloc(request->nproducts * sizeof(int64));
	memcpy(attempt->missing, request->units, request->nproducts * sizeof(int64));
}

static void
lock_orders(Attempt *attempt)
{
	for (int i = 0; i < attempt->norder_ids && (attempt->pass_over || attempt->busy == 0); i++)
	{
		bool		busy;
		Order	   *order = overdue_lock(attempt->order_ids[i], &busy);

		if (order != NULL)
		{
			add_order(attempt, order);
			if (attempt->norders % BATCH == 0 && !any_is(stock_is_short, attempt))
				break;
		}
		else if (!busy)
			attempt->gone = true;
		else if (attempt->busy == 0)
			attempt->busy = attempt->order_ids[i];
	}
}

/* Locks the rows of all products that are about to be given or taken. */
static void
lock_products(const Attempt *attempt)
{
	const QuoteRequest *request = attempt->request;
	int			n = request->nproducts;
	int64	   *ids;

	for (int i = 0; i < attempt->norders; i++)
		n += attempt->orders[i]->nitems;
	ids = palloc(n * sizeof(int64));
	n = request->nproducts;
	memcpy(ids, request->product_ids, n * sizeof(int64));
	for (int i = 0; i < attempt->norders; i++)
		for (int j = 0; j < attempt->orders[i]->nitems; j++)
			ids[n++] = attempt->orders[i]->items[j].line.product_id;
	stock_lock(ids, n);
}

/* Locks what is to be ended; false when that is nothing, or would be no use, or somebody has to be waited for. */
static bool
lock_what_is_needed(void *arg)
{
	Attempt    *attempt = arg;

	if (attempt->buyer_id != 0)
		(void) user_lock(attempt->buyer_id, false);
	lock_orders(attempt);
	if (stock_locks_rows())
		lock_products(attempt);
	attempt->blocked = (attempt->busy != 0 && any_is(stock_is_short, attempt));
	if (attempt->partly)
		return attempt->norders > 0;
	return attempt->norders > 0 && !attempt->blocked && !any_is(stock_is_surely_short, attempt);
}

/*
 * Ends the overdue orders that hold any of n products, unless the request is blocked, and answers whether
 * it has ended some.
 */
static bool
try_to_end(Attempt *attempt, const int64 *product_ids, int n)
{
	attempt->busy = 0;
	attempt->gone = attempt->blocked = false;
	attempt->order_ids = overdue_find(product_ids, n, &attempt->norder_ids);
	if (attempt->norder_ids == 0)
		return false;

	prepare_to_lock(attempt);
	if (!subtransaction_keep_if(lock_what_is_needed, attempt))
		return false;
	unpaid_end(attempt->orders, attempt->norders, &unpaid_expired, NULL);
	return true;
}

static void
lock_order(const void *id)
{
	(void) order_lock(*(const int64 *) id, false);
}

/* Lists the products that a request is short of, or may be; answers how many. */
static int
list_short(const QuoteRequest *request, int64 *product_ids)
{
	int			n = 0;

	for (int i = 0; i < request->nproducts; i++)
		if (stock_locks_rows() || stock_is_short(request->product_ids[i], request->units[i]))
			product_ids[n++] = request->product_ids[i];
	return n;
}

bool
make_way_is_needed(const QuoteRequest *request)
{
	int64	   *ids = palloc(request->nproducts * sizeof(int64));

	return list_short(request, ids) > 0;
}

/*
 * Without shared memory a shortage is not known before the products are locked, and that is too late:
 * other products may have to be given back, which comes first in the order of locks.
 */
bool
make_way(int64 user_id, const QuoteRequest *request)
{
	Attempt		attempt = {.request = request, .buyer_id = user_id, .pass_over = true};
	TimestampTz end = lock_wait_end();
	int64	   *ids = palloc(request->nproducts * sizeof(int64));
	bool		found = false;
	bool		ended;

	do
	{
		int			n = list_short(request, ids);

		if (n == 0)
			break;
		ended = try_to_end(&attempt, ids, n);
		found = found || attempt.norder_ids > 0;
		if (attempt.blocked)
			attempt.pass_over = !lock_wait(lock_order, &attempt.busy, end);
	} while (attempt.blocked || (attempt.gone && !ended));
	return found;
}

bool
make_way_at_once(int64 product_id, int64 units)
{
	QuoteRequest request = {.nproducts = 1, .product_ids = &product_id, .units = &units};
	Attempt		attempt = {.request = &request, .pass_over = true};

	if (stock_locks_rows())
		return false;
	return try_to_end(&attempt, &product_id, 1) || (attempt.gone && !attempt.blocked);
}

void
make_way_partly(int64 product_id, int64 units)
{
	QuoteRequest request = {.nproducts = 1, .product_ids = &product_id, .units = &units};
	Attempt		attempt = {.request = &request, .partly = true, .pass_over = true};

	if (stock_is_short(product_id, units))
		(void) try_to_end(&attempt, &product_id, 1);
}

void
make_way_for_coupons(int64 user_id, const QuoteRequest *request)
{
	Attempt		attempt = {.request = request, .pass_over = true};

	attempt.order_ids = overdue_find_coupons(user_id, request->coupon_issue_ids, request->ncoupons, &attempt.norder_ids);
	if (attempt.norder_ids == 0)
		return;
	prepare_to_lock(&attempt);
	lock_orders(&attempt);
	if (stock_locks_rows())
		lock_products(&attempt);
	unpaid_end(attempt.orders, attempt.norders, &unpaid_expired, NULL);
}
