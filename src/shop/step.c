/*
 * step.c
 *	  What a step of an order's items brings about: preparing, dispatch, delivery, cancelling, returns, exchanges, and
 *	  the money, stock and coupons that come back.
 *
 * Who may make which step is in commerce.order_item_transitions (order_item.c reads it); this file knows what a step
 * brings about:
 * - entering PREPARING from PAID asks the seller to deliver;
 * - entering CANCELLED gives back the stock, refunds the items' net and the shipping fees of what is wholly cancelled,
 *	 and gives a coupon back when all it applied to is;
 * - entering RETURNED refunds the items' net less a deduction, and gives back the stock unless it is broken or lost;
 *	 from the way (DISPATCHED, IN_TRANSIT) it counts as a cancel for shipping and coupons;
 * - all else moves neither money nor stock.
 * What comes back is at most what is paid and not yet refunded.  A part of an item is split off first (order.c); its
 * net is its share of the line's, so that the parts of a line come to what the line cost, whatever the steps.
 *
 * Lock order: gate, user's row, order's row, coupons by id, products by id.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/sql.h"
#include "shop/archive.h"
#include "shop/order_event.h"
#include "shop/refund.h"
#include "shop/step.h"

/* Whether the actor is this buyer or seller, and has to show that a thing is his. */
static bool
is_actor(const Actor *actor, ActorKind kind)
{
	return actor->id != 0 && actor->kind == kind;
}

/* Sets the status of n items, which may have different ones now. */
static void
set_items(OrderItem *const *items, int n, const Step *step)
{
	OrderItem **same = palloc(n * sizeof(OrderItem *));
	bool	   *done = palloc0(n * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		OrderItemStatus former = items[i]->status;
		int			nsame = 0;

		if (done[i])
			continue;
		for (int j = i; j < n; j++)
			if (!done[j] && items[j]->status == former)
			{
				same[nsame++] = items[j];
				done[j] = true;
			}
		order_items_set_status(same, nsame, step->status, step->shipment_id, step->actor);
	}
	pfree(same);
	pfree(done);
}

/* Notes of an item what only its step knows, and stores it. */
static void
note_return(const Order *order, OrderItem *item, const Step *step)
{
	item->restocked = step->restock ? RESTOCKED : NOT_RESTOCKED;
	item->lost = item->status == ORDER_ITEM_STATUS_DISPATCHED || item->status == ORDER_ITEM_STATUS_IN_TRANSIT;
	item->deduction = step->deduction;
	order_item_store(item, order->user_id);
}

/* What a step that gives n items back is worth to the buyer; they have their new status. */
static int64
share_of(const Order *order, OrderItem *const *items, int n)
{
	int64		share = refund_of_shipping(order, items, n);

	for (int i = 0; i < n; i++)
		share += order_item_net(items[i]) - items[i]->deduction;
	return share;
}

Datum
step_items(Order *order, OrderItem **items, int n, const Step *step)
{
	bool		cancelled = step->status == ORDER_ITEM_STATUS_CANCELLED;
	bool		returned = step->status == ORDER_ITEM_STATUS_RETURNED;
	OrderItemStatus *former = palloc(n * sizeof(OrderItemStatus));
	int64		share = 0;
	int64		amount = 0;
	Datum		row;

	for (int i = 0; i < n; i++)
	{
		former[i] = items[i]->status;
		if (returned)
			note_return(order, items[i], step);
	}
	set_items(items, n, step);
	if (cancelled || returned)
	{
		share = share_of(order, items, n);
		/* goodwill may have given some of it back already */
		amount = refund_left(order);
		amount = Min(share, amount);
		order->refunded_amount += amount;
	}

	row = order_save(order);
	order_write_changed(order, items, n, former, step->actor, share, amount);
	if (cancelled && order->status == ORDER_STATUS_REFUNDED)
		order_write_event(order, "OrderCancelled");
	if (amount > 0)
	{
		int64		tax_free = refund_tax_free(items, n);

		refund_pay(order, amount, Min(tax_free, amount), NULL);
	}
	if (step->status == ORDER_ITEM_STATUS_PREPARING && former[0] == ORDER_ITEM_STATUS_PAID)
		order_write_delivery(order, items, n);
	if (cancelled || returned)
		refund_coupons(order);
	if (cancelled || (returned && step->restock))
		stock_give(order_items_stock_moves(items, n), n, cancelled ? STOCK_REASON_CANCEL : STOCK_REASON_RETURN);
	return row;
}

/* What was over before the shop moved here has no stock to give back: it is refunded by amount alone. */
static void
refuse_imported(const Order *order)
{
	if (order->imported)
		raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order"), D_INT("id", order->id),
					D_REASON(REASON_IMPORTED));
}

Order *
step_lock_order(int64 order_id, const Actor *actor)
{
	Order	   *order = NULL;

	if ((!is_actor(actor, ACTOR_KIND_BUYER) || order_user(order_id) == actor->id) &&
		(!is_actor(actor, ACTOR_KIND_SELLER) || order_items_are_sellers(order_id, actor->id)))
		order = order_lock(order_id, false);
	if (order == NULL)
		archive_raise_missing("order", order_id, actor);
	refuse_imported(order);
	return order;
}

Order *
step_lock_item(int64 item_id, const Actor *actor, OrderItem **item)
{
	int64		seller_id = 0;
	int64		order_id = order_item_order(item_id, &seller_id);
	Order	   *order = NULL;

	if ((!is_actor(actor, ACTOR_KIND_BUYER) || order_user(order_id) == actor->id) &&
		(!is_actor(actor, ACTOR_KIND_SELLER) || seller_id == actor->id))
		order = order_lock(order_id, false);
	*item = order ? order_find_item(order, item_id) : NULL;
	if (*item == NULL)
		archive_raise_missing("order_item", item_id, actor);
	refuse_imported(order);
	return order;
}

/* A buyer can ask for a return or an exchange as long as an item is not confirmed, whether the job has run or not. */
static void
require_time(const OrderItem *item, OrderItemStatus status, const Actor *actor)
{
	TimestampTz until = item->delivered_at + (int64) commerce_auto_confirm_after * USECS_PER_SEC;

	if (actor->kind != ACTOR_KIND_BUYER ||
		(status != ORDER_ITEM_STATUS_RETURN_REQUESTED && status != ORDER_ITEM_STATUS_EXCHANGE_REQUESTED) ||
		until > GetCurrentTimestamp())
		return;
	raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order_item"), D_INT("id", item->id),
				D_TEXT("from", catalog_label_name(TYPE_ORDER_ITEM_STATUS, item->status)),
				D_TEXT("to", catalog_label_name(TYPE_ORDER_ITEM_STATUS, status)),
				D_REASON(REASON_TIME_OVER), D_TEXT("until", calendar_time_text(until)));
}

OrderItem *
step_take_part(Order *order, OrderItem *item, OrderItemStatus status, const Actor *actor, int64 quantity)
{
	if (!order_item_may_change(item, status, actor, false))
		order_item_refuse_change(item, status, actor);
	require_time(item, status, actor);
	if (quantity > item->line.quantity)
		raise_invalid("quantity", "must be at most " INT64_FORMAT ", the item's units", item->line.quantity);
	if (quantity > 0 && quantity < item->line.quantity)
		return order_split_item(order, item, quantity);
	return item;
}

Datum
step_item(Order *order, OrderItem **item, int64 quantity, const Step *step)
{
	*item = step_take_part(order, *item, step->status, step->actor, quantity);
	if (step->deduction > order_item_net(*item))
		raise_invalid("deduction", "must be from 0 to " INT64_FORMAT ", what the units cost", order_item_net(*item));
	return step_items(order, item, 1, step);
}
