/*
 * cancel.c
 *	  Cancelling an order, or units of an item of it.
 *
 * Lock order: gate, user's row, order's row, coupons by id, products by id.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "escrow/gate.h"
#include "shop/idempotency.h"
#include "shop/overdue.h"
#include "shop/step.h"

PG_FUNCTION_INFO_V1(commerce_cancel_order);
PG_FUNCTION_INFO_V1(commerce_cancel_order_item);

/*
 * cancel_order_item(order_item_id bigint, quantity bigint, actor actor_kind, actor_id bigint, note text,
 *					 idempotency_key text)
 *
 * Returns the orders row.
 */
Datum
commerce_cancel_order_item(PG_FUNCTION_ARGS)
{
	int64		item_id;
	int64		quantity;
	Actor		actor;
	text	   *key = arg_text_or_null(fcinfo, 5, "idempotency_key");
	const Step	cancel = {.status = ORDER_ITEM_STATUS_CANCELLED, .actor = &actor};
	IdempotentCall call;
	Order	   *order;
	OrderItem  *item;
	Datum		row;

	gate_enter("cancel_order_item()");
	item_id = arg_int64(fcinfo, 0, "order_item_id");
	quantity = arg_positive(fcinfo, 1, "quantity");
	actor = actor_get(fcinfo, 2);
	idempotency_init(&call, idempotency_scope("item", item_id), "cancel_order_item", key,
					 key ? psprintf(INT64_FORMAT " %s", quantity, actor_canonical(&actor)) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));
	order = step_lock_item(item_id, &actor, &item);
	row = step_item(order, &item, quantity, &cancel);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}

/*
 * cancel_order(order_id bigint, actor actor_kind, actor_id bigint, note text)
 *
 * Cancels all that is left of an order, and returns the orders row.
 */
Datum
commerce_cancel_order(PG_FUNCTION_ARGS)
{
	int64		order_id;
	Actor		actor;
	const Step	cancel = {.status = ORDER_ITEM_STATUS_CANCELLED, .actor = &actor};
	Order	   *order;
	OrderItem **items;
	int			n = 0;
	Datum		row;

	gate_enter("cancel_order()");
	order_id = arg_int64(fcinfo, 0, "order_id");
	actor = actor_get(fcinfo, 1);
	order = step_lock_order(order_id, &actor);

	if (order->status == ORDER_STATUS_PENDING_PAYMENT)
	{
		UnpaidEnd	cancelled = {PAYMENT_STATUS_EXPIRED, STOCK_REASON_CANCEL, actor, NULL};

		unpaid_end(&order, 1, &cancelled, &row);
		PG_RETURN_DATUM(row);
	}
	items = palloc(order->nitems * sizeof(OrderItem *));
	for (int i = 0; i < order->nitems; i++)
		if (order->items[i].status != ORDER_ITEM_STATUS_CANCELLED && order->items[i].status != ORDER_ITEM_STATUS_RETURNED)
			items[n++] = &order->items[i];
	if (n == 0)
		raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order"), D_INT("id", order->id),
					D_TEXT("from", catalog_label_name(TYPE_ORDER_STATUS, order->status)),
					D_TEXT("to", catalog_label_name(TYPE_ORDER_STATUS, ORDER_STATUS_CANCELLED)));
	PG_RETURN_DATUM(step_items(order, items, n, &cancel));
}
