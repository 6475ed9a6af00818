/*
 * refund.c
 *	  What comes back of an order, and which way: money to the balance or by the provider, shipping, coupons.
 *
 * Money goes back to the payment that it came from: of an order that was paid from both, to the provider first, as
 * far as that payment goes.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "escrow/gate.h"
#include "shop/archive.h"
#include "shop/balance.h"
#include "shop/coupon.h"
#include "shop/idempotency.h"
#include "shop/order_event.h"
#include "shop/refund.h"

PG_FUNCTION_INFO_V1(commerce_refund_order);

/* Whether two items share a shipping fee: of one line, where it has a fee of its own, else of one seller's policy. */
static bool
share_fee(const OrderItem *a, const OrderItem *b)
{
	if (a->line.own_shipping || b->line.own_shipping)
		return a->line.number == b->line.number;
	return a->line.seller_id == b->line.seller_id;
}

/* Whether nothing of what an item shares its shipping fee with was sent, or all of it was lost on the way. */
static bool
fee_is_due_back(const Order *order, const OrderItem *item)
{
	for (int i = 0; i < order->nitems; i++)
		if (share_fee(&order->items[i], item) && !order_item_never_came(&order->items[i]))
			return false;
	return true;
}

int64
refund_of_shipping(const Order *order, OrderItem *const *items, int n)
{
	int64		amount = 0;

	for (int i = 0; i < order->nitems; i++)
	{
		const OrderItem *item = &order->items[i];
		bool		concerned = false;

		if (item->line.shipping_fee == item->line.shipping_discount)
			continue;
		for (int j = 0; j < n && !concerned; j++)
			concerned = share_fee(item, items[j]) && order_item_never_came(items[j]);
		if (concerned && fee_is_due_back(order, item))
			amount += item->line.shipping_fee - item->line.shipping_discount;
	}
	return amount;
}

int64
refund_left(const Order *order)
{
	int			n;
	Payment    *payments;
	int64		left = 0;

	/* what the balance has paid of a pending order is not a paid order's */
	if (order->status == ORDER_STATUS_PENDING_PAYMENT)
		return 0;
	payments = payments_read_completed(order->id, &n);
	for (int i = 0; i < n; i++)
		left += payments[i].left;
	return left;
}

int64
refund_tax_free(OrderItem *const *items, int n)
{
	int64		amount = 0;

	for (int i = 0; i < n; i++)
		if (items[i]->line.tax_exempt)
			amount += order_item_net(items[i]);
	return amount;
}

/* Pays an amount of one payment back, or asks for it; returns what of it is for tax-exempt lines. */
static int64
pay_back(const Order *order, const Payment *payment, int64 amount, int64 tax_free_amount, const Actor *actor)
{
	Payment		refund = payment_refund(payment, amount, tax_free_amount);

	payment_insert(&refund);
	if (refund.status == PAYMENT_STATUS_COMPLETED)
	{
		BalanceChange change = balance_add(order->user_id, amount);

		balance_record(order->user_id, BALANCE_ENTRY_KIND_REFUND, amount, &change, order->id, 0, NULL);
	}
	order_write_payment_event(order, refund.status == PAYMENT_STATUS_COMPLETED ? "RefundCompleted" : "RefundRequested",
							  "refund", &refund, actor);
	return refund.tax_free_amount;
}

void
refund_pay(const Order *order, int64 amount, int64 tax_free_amount, const Actor *actor)
{
	int			n;
	Payment    *payments = payments_read_completed(order->id, &n);

	for (int i = 0; i < n && amount > 0; i++)
	{
		int64		part = Min(payments[i].left, amount);

		if (part == 0)
			continue;
		tax_free_amount -= pay_back(order, &payments[i], part, pricing_share_of(tax_free_amount, part, amount), actor);
		amount -= part;
	}
	if (amount > 0)
		elog(ERROR, "order " INT64_FORMAT " has less left to refund than it says", order->id);
}

/* Whether a coupon is used up by an item: what it applied to was sent. */
static bool
is_used_by(const UsedCoupon *coupon, const Order *order, const OrderItem *item)
{
	if (coupon->kind == COUPON_KIND_FREE_SHIPPING)
		return item->line.shipping_discount > 0 && !fee_is_due_back(order, item);
	if (order_item_never_came(item))
		return false;
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
			used = is_used_by(&coupons[i], order, &order->items[j]);
		if (!used)
			coupons[nrestored++] = coupons[i];
	}
	coupon_restore(order->id, coupons, nrestored);
}

/*
 * refund_order(order_id bigint, amount bigint, actor_id bigint, note text, idempotency_key text)
 *
 * Returns the orders row.
 */
Datum
commerce_refund_order(PG_FUNCTION_ARGS)
{
	int64		order_id;
	int64		amount;
	int64		left;
	Actor		actor;
	text	   *key = arg_text_or_null(fcinfo, 4, "idempotency_key");
	IdempotentCall call;
	Order	   *order;
	Datum		row;

	gate_enter("refund_order()");
	order_id = arg_int64(fcinfo, 0, "order_id");
	amount = arg_positive(fcinfo, 1, "amount");
	actor = actor_get_admin(fcinfo, 2);
	idempotency_init(&call, idempotency_scope("order", order_id), "refund_order", key,
					 psprintf(INT64_FORMAT " %s", amount, actor_canonical(&actor)));
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));
	actor_require_admin(&actor);

	order = order_lock(order_id, false);
	if (order == NULL)
		archive_raise_missing("order", order_id, NULL);
	left = refund_left(order);
	if (amount > left)
		raise_error(ERROR_REFUND_EXCEEDS_PAID, D_INT("order_id", order_id), D_INT("asked", amount), D_INT("left", left));
	order->refunded_amount += amount;
	row = order_save(order);
	refund_pay(order, amount, pricing_share_of(order->totals.tax_free_amount, amount, order->totals.payment_amount), &actor);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
