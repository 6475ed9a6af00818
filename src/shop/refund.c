/*
 * refund.c
 *	  What comes back of an order, and which way: money to the balance or by the provider, shipping, coupons.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/compat.h"
#include "shop/balance.h"
#include "shop/coupon.h"
#include "shop/order_event.h"
#include "shop/refund.h"

/* Whether all items of a seller (0: the shop) are cancelled. */
static bool
group_is_cancelled(const Order *order, int64 seller_id)
{
	for (int i = 0; i < order->nitems; i++)
		if (order->items[i].line.seller_id == seller_id && order->items[i].status != ORDER_ITEM_STATUS_CANCELLED)
			return false;
	return true;
}

int64
refund_of_shipping(const Order *order, OrderItem *const *items, int n)
{
	int64		amount = 0;

	for (int i = 0; i < order->nitems; i++)
	{
		const Line *line = &order->items[i].line;
		int64		seller_id = order->items[i].line.seller_id;
		bool		concerned = false;

		if (line->shipping_fee == line->shipping_discount)
			continue;
		for (int j = 0; j < n && !concerned; j++)
			concerned = (items[j]->line.seller_id == seller_id);
		if (concerned && group_is_cancelled(order, seller_id))
			amount += line->shipping_fee - line->shipping_discount;
	}
	return amount;
}

void
refund_pay(const Order *order, int64 amount)
{
	bool		to_balance = (order->method == PAYMENT_METHOD_BALANCE);
	Payment		payment = {
		.order_id = order->id,
		.user_id = order->user_id,
		.kind = PAYMENT_KIND_REFUND,
		.method = order->method,
		.status = to_balance ? PAYMENT_STATUS_COMPLETED : PAYMENT_STATUS_REQUESTED,
		.amount = amount,
	};

	payment_insert(&payment);
	if (to_balance)
	{
		BalanceChange change = balance_add(order->user_id, amount);

		balance_record(order->user_id, BALANCE_ENTRY_KIND_REFUND, amount, &change, order->id, NULL);
	}
	order_write_payment_event(order, to_balance ? "RefundCompleted" : "RefundRequested", "refund", &payment);
}

static bool
applies_to(const UsedCoupon *coupon, const OrderItem *item)
{
	if (coupon->scope == COUPON_SCOPE_PRODUCT)
		return item->line.coupon_issue_id == coupon->issue_id;
	return coupon->scope == COUPON_SCOPE_ORDER || item->line.seller_id == coupon->seller_id;
}

void
refund_coupons(const Order *order)
{
	int			n;
	UsedCoupon *coupons = coupon_read_used(order->id, &n);
	int			nrestored = 0;

	for (int i = 0; i < n; i++)
	{
		bool		used = false;

		for (int j = 0; j < order->nitems && !used; j++)
			used = applies_to(&coupons[i], &order->items[j]) && order->items[j].status != ORDER_ITEM_STATUS_CANCELLED;
		if (!used)
			coupons[nrestored++] = coupons[i];
	}
	coupon_restore(order->id, coupons, nrestored);
}
