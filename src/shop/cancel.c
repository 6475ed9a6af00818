/*
 * cancel.c
 *	  Cancelling an order, or units of an item of it.
 *
 * Lock order: gate, user's row, order's row, coupons by id, products by id.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/compat.h"
#include "base/error.h"
#include "escrow/gate.h"
#include "shop/overdue.h"
#include "shop/step.h"

PG_FUNCTION_INFO_V1(commerce_cancel_order);
PG_FUNCTION_INFO_V1(commerce_cancel_order_item);

/*
 * cancel_order_item(order_item_id bigint, quantity bigint, actor actor_kind, actor_id bigint, note text)
 *
 * Returns the orders row.
 */
Datum
commerce_cancel_order_item(PG_FUNCTION_ARGS)
{
	Actor		actor;
	Order	   *order;
	OrderItem  *item;

	gate_enter("cancel_order_item()");
	if (PG_ARGISNULL(0))
		raise_invalid("order_item_id", "must not be null");
	if (PG_ARGISNULL(1) || PG_GETARG_INT64(1) < 1)
		raise_invalid("quantity", "must be 1 or more");
	actor = actor_get(fcinfo, 2);
	order = step_lock_item(PG_GETARG_INT64(0), &actor, &item);
	PG_RETURN_DATUM(step_item(order, &item, "CANCELLED", &actor, PG_GETARG_INT64(1)));
}

/*
 * cancel_order(order_id bigint, actor actor_kind, actor_id bigint, note text)
 *
 * Cancels all that is left of an order, and returns the orders row.
 */
Datum
commerce_cancel_order(PG_FUNCTION_ARGS)
{
	Actor		actor;
	Order	   *order;
	OrderItem **items;
	int			n = 0;
	Datum		row;

	gate_enter("cancel_order()");
	if (PG_ARGISNULL(0))
		raise_invalid("order_id", "must not be null");
	actor = actor_get(fcinfo, 1);
	order = step_lock_order(PG_GETARG_INT64(0), &actor);

	if (strcmp(order->status, "PENDING_PAYMENT") == 0)
	{
		UnpaidEnd		cancelled = {"EXPIRED", "CANCEL", actor, NULL};

		unpaid_end(&order, 1, &cancelled, &row);
		PG_RETURN_DATUM(row);
	}
	items = palloc(order->nitems * sizeof(OrderItem *));
	for (int i = 0; i < order->nitems; i++)
		if (!order_item_has_status(&order->items[i], "CANCELLED") && !order_item_has_status(&order->items[i], "RETURNED"))
			items[n++] = &order->items[i];
	if (n == 0)
		raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order"), D_INT("id", order->id),
					D_TEXT("from", order->status), D_TEXT("to", "CANCELLED"));
	PG_RETURN_DATUM(step_items(order, items, n, "CANCELLED", &actor));
}
