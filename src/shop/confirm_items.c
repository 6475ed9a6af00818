/*
 * confirm_items.c
 *	  Items that were delivered long ago are confirmed without the buyer.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/sql.h"
#include "base/sweep.h"
#include "escrow/gate.h"
#include "shop/step.h"

PG_FUNCTION_INFO_V1(commerce_confirm_delivered_items);

static TimestampTz
confirmed_from(void)
{
	return GetCurrentTimestamp() - (int64) commerce_auto_confirm_after * USECS_PER_SEC;
}

/* Confirms the items of a locked order that were delivered long ago; answers how many. */
static int
confirm_items(Order *order)
{
	const Step	confirmed = {.status = ORDER_ITEM_STATUS_CONFIRMED, .actor = &actor_system};
	OrderItem **items = palloc(order->nitems * sizeof(OrderItem *));
	int			n = 0;

	for (int i = 0; i < order->nitems; i++)
		if ((order->items[i].status == ORDER_ITEM_STATUS_DELIVERED || order->items[i].status == ORDER_ITEM_STATUS_EXCHANGED) &&
			order->items[i].delivered_at <= confirmed_from())
			items[n++] = &order->items[i];
	if (n > 0)
		(void) step_items(order, items, n, &confirmed);
	return n;
}

static int
confirm_orders(const int64 *order_ids, int n)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext one_order = AllocSetContextCreate(caller, "commerce order", ALLOCSET_DEFAULT_SIZES);
	int			confirmed = 0;

	MemoryContextSwitchTo(one_order);
	for (int i = 0; i < n; i++)
	{
		Order	   *order = order_lock(order_ids[i], true);

		if (order)
			confirmed += confirm_items(order);
		MemoryContextReset(one_order);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(one_order);
	return confirmed;
}

static int64 *
find_delivered(int64 max, int64 skipped, int *n)
{
	return order_items_find_delivered(confirmed_from(), max, skipped, n);
}

/*
 * confirm_delivered_items(max_rows int)
 *
 * Confirms the items that were delivered longer than commerce.auto_confirm_after ago, of at most
 * max_rows orders that nobody is working on, and returns how many items.  It waits for nothing.
 */
Datum
commerce_confirm_delivered_items(PG_FUNCTION_ARGS)
{
	static const Sweep confirm = {"delivered order", "confirmed", find_delivered, confirm_orders, NULL};

	gate_enter("confirm_delivered_items()");
	PG_RETURN_INT32(sweep(&confirm, arg_max_rows(fcinfo, 0)));
}
