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
#include "shop/step.h"

PG_FUNCTION_INFO_V1(commerce_change_item_status);

/*
 * change_item_status(order_item_id bigint, new_status order_item_status, actor actor_kind,
 *					  actor_id bigint, note text, quantity bigint)
 *
 * Returns the order_items row that has the new status.
 */
Datum
commerce_change_item_status(PG_FUNCTION_ARGS)
{
	int64		item_id;
	OrderItemStatus status;
	Actor		actor;
	Order	   *order;
	OrderItem  *item;
	int64		quantity = PG_ARGISNULL(5) ? 0 : PG_GETARG_INT64(5);

	gate_enter("change_item_status()");
	item_id = arg_int64(fcinfo, 0, "order_item_id");
	status = arg_label(fcinfo, 1, "new_status", TYPE_ORDER_ITEM_STATUS);
	if (!PG_ARGISNULL(5) && quantity < 1)
		raise_invalid("quantity", "must be 1 or more, or null for all");
	actor = actor_get(fcinfo, 2);
	order = step_lock_item(item_id, &actor, &item);
	(void) step_item(order, &item, status, &actor, quantity);
	PG_RETURN_DATUM(order_item_row(item->id));
}
