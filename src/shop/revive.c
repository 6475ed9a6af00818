/*
 * revive.c
 *	  An order that was given up takes again what it had, at the price it had: when its payment succeeds after all
 *	  (answer.c), and when its buyer pays anew (retry.c).
 *
 * What is wrong is found in the order in which placing an order finds it.  Lock order: the user's and the order's
 * row are locked; coupons by id, products by id.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/subtransaction.h"
#include "shop/balance.h"
#include "shop/coupon.h"
#include "shop/product.h"
#include "shop/revive.h"
#include "shop/user.h"

typedef struct Revival
{
	Order	   *order;
	int64		balance_part;
	bool		raises;			/* what is wrong; else it is only told that something is */
	StockMove  *moves;			/* by ascending product */
} Revival;

/* The distinct products of an order, ascending, and the units of each. */
static int64 *
products_of(const Revival *revival, int64 *units, int *n)
{
	int64	   *ids = palloc(revival->order->nitems * sizeof(int64));

	*n = 0;
	for (int i = 0; i < revival->order->nitems; i++)
	{
		const StockMove *move = &revival->moves[i];

		if (*n == 0 || ids[*n - 1] != move->product_id)
		{
			units[*n] = 0;
			ids[(*n)++] = move->product_id;
		}
		units[*n - 1] += move->units;
	}
	return ids;
}

static bool
judge_user(const Revival *revival)
{
	if (revival->raises)
		user_require_active(revival->order->user_id, false);
	return revival->raises || user_is_active(revival->order->user_id);
}

static bool
judge_products(const Revival *revival, const int64 *ids, const int64 *units, int n)
{
	const Order *order = revival->order;
	Product    *products = product_read(ids, n);

	for (int i = 0; i < n; i++)
	{
		if (products[i].on_sale && products[i].seller_active)
			continue;
		if (revival->raises)
			raise_error(ERROR_PRODUCT_NOT_ON_SALE, D_INT("product_id", ids[i]));
		return false;
	}
	for (int i = 0; i < n; i++)
	{
		if (!order_items_exceed_limit(order->user_id, order->id, ids[i]))
			continue;
		if (revival->raises)
			raise_error(ERROR_PURCHASE_LIMIT_EXCEEDED, D_INT("product_id", ids[i]), D_INT("asked", units[i]));
		return false;
	}
	return true;
}

static bool
take_coupons(const Revival *revival)
{
	int64		refused = coupon_use_again(revival->order->id);

	if (refused != 0 && revival->raises)
		raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", refused), D_REASON(REASON_UNAVAILABLE));
	return refused == 0;
}

static bool
take_stock(const Revival *revival, const int64 *ids, const int64 *units, int n)
{
	for (int i = 0; i < n; i++)
	{
		int64		available;

		if (stock_take_anywhere(ids[i], units[i], &available))
			continue;
		if (revival->raises)
			stock_raise_short(ids[i], units[i], available);
		return false;
	}
	stock_record(revival->moves, revival->order->nitems, STOCK_REASON_ORDER);
	return true;
}

static bool
take_balance(const Revival *revival)
{
	const Order *order = revival->order;
	int64		amount = revival->balance_part;
	BalanceChange change;
	Payment		payment = {
		.order_id = order->id, .user_id = order->user_id, .kind = PAYMENT_KIND_PAYMENT,
		.method = PAYMENT_METHOD_BALANCE, .status = PAYMENT_STATUS_COMPLETED, .amount = amount,
		.tax_free_amount = order_tax_free_part(order, PAYMENT_METHOD_BALANCE, amount)
	};

	if (amount == 0)
		return true;
	if (!balance_take(order->user_id, amount, &change))
	{
		if (revival->raises)
			raise_error(ERROR_BALANCE_NOT_ENOUGH, D_INT("user_id", order->user_id), D_INT("asked", amount),
						D_INT("balance", change.balance));
		return false;
	}
	payment_insert(&payment);
	balance_record(order->user_id, BALANCE_ENTRY_KIND_PAYMENT, -amount, &change, order->id, 0, NULL);
	return true;
}

/* Takes all of it; false, with some of it taken, when something cannot be had. */
static bool
revive(void *arg)
{
	Revival    *revival = arg;
	int64	   *units = palloc(revival->order->nitems * sizeof(int64));
	int64	   *ids;
	int			n;

	revival->moves = order_items_stock_moves(order_all_items(revival->order), revival->order->nitems);
	ids = products_of(revival, units, &n);
	return judge_user(revival) && judge_products(revival, ids, units, n) && take_coupons(revival) &&
		take_stock(revival, ids, units, n) && take_balance(revival);
}

bool
revive_try(Order *order, int64 balance_part)
{
	Revival		revival = {.order = order, .balance_part = balance_part};

	return subtransaction_keep_if(revive, &revival);
}

void
revive_or_raise(Order *order, int64 balance_part)
{
	Revival		revival = {.order = order, .balance_part = balance_part, .raises = true};

	(void) revive(&revival);
}
