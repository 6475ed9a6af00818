/*
 * item_status.c
 *	  A step of one item, or of some of its units.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "escrow/gate.h"
#include "shop/idempotency.h"
#include "shop/returns.h"
#include "shop/step.h"

PG_FUNCTION_INFO_V1(commerce_change_item_status);

/* Takes the step; *item becomes the item that has taken it. */
static void
change(Order *order, OrderItem **item, OrderItemStatus status, int64 quantity, const Actor *actor)
{
	const Step	step = {.status = status, .actor = actor};

	/* a parcel that was lost is complete_return()'s alone */
	if (status == ORDER_ITEM_STATUS_RETURNED && (*item)->status != ORDER_ITEM_STATUS_RETURN_PROCESSING)
		order_item_refuse_change(*item, status, actor);
	if (status == ORDER_ITEM_STATUS_RETURNED)
		(void) return_complete(order, item, quantity, true, 0, actor);
	else if (status == ORDER_ITEM_STATUS_EXCHANGED)
		*item = exchange_complete(order, *item, quantity, true, 0, actor);
	else
		(void) step_item(order, item, quantity, &step);
}

/*
 * change_item_status(order_item_id bigint, new_status order_item_status, actor actor_kind, actor_id bigint, note text,
 *					  quantity bigint, idempotency_key text)
 *
 * Returns the order_items row that has the new status.
 */
Datum
commerce_change_item_status(PG_FUNCTION_ARGS)
{
	int64		item_id;
	OrderItemStatus status;
	Actor		actor;
	int64		quantity;
	text	   *key = arg_text_or_null(fcinfo, 6, "idempotency_key");
	IdempotentCall call;
	Order	   *order;
	OrderItem  *item;
	Datum		row;

	gate_enter("change_item_status()");
	item_id = arg_int64(fcinfo, 0, "order_item_id");
	status = arg_label(fcinfo, 1, "new_status", TYPE_ORDER_ITEM_STATUS);
	actor = actor_get(fcinfo, 2);
	quantity = arg_quantity(fcinfo, 5);
	idempotency_init(&call, idempotency_scope("item", item_id), "change_item_status", key,
					 key ? psprintf("%s " INT64_FORMAT " %s", catalog_label_name(TYPE_ORDER_ITEM_STATUS, status), quantity,
									actor_canonical(&actor)) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_item_stored(row));
	order = step_lock_item(item_id, &actor, &item);
	change(order, &item, status, quantity, &actor);
	row = order_item_row(item->id);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
