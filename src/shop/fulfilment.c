/*
 * fulfilment.c
 *	  What happens to the items of an order that was paid, or that its buyer no longer wants: preparing,
 *	  dispatch, delivery, cancelling, returns, exchanges, and the money, stock and coupons that come back.
 *
 * Who may make which step is in commerce.order_item_transitions (order_state.c reads it); this file
 * knows what a step brings about:
 * - entering PREPARING asks the seller to deliver;
 * - entering CANCELLED gives back the stock, refunds the items' net, refunds a seller's shipping when
 *   all of that seller's items are cancelled, and gives a coupon back when all it applied to is;
 * - entering RETURNED gives back the stock and refunds the items' net;
 * - all else moves neither money nor stock.
 * A part of an item is split off first (order_state.c); its net is its share of the line's, so that
 * the parts of a line come to what the line cost, whatever the steps.
 *
 * Lock order: gate, user's row, order's row, coupons by id, products by id.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/spi_util.h"
#include "base/sweep.h"
#include "escrow/gate.h"
#include "shop/balance.h"
#include "shop/coupon.h"
#include "shop/hold.h"
#include "shop/order.h"

PG_FUNCTION_INFO_V1(commerce_change_item_status);
PG_FUNCTION_INFO_V1(commerce_cancel_order);
PG_FUNCTION_INFO_V1(commerce_cancel_order_item);
PG_FUNCTION_INFO_V1(commerce_confirm_delivered_items);

static bool
has_status(const OrderItem *item, const char *status)
{
	return strcmp(item->status, status) == 0;
}

static int64
seller_of(const OrderItem *item)
{
	return item->line->product->seller_id;
}

/* The arguments actor, actor_id and note; an id that nobody can have is not the same as none. */
static Actor
get_actor(Datum kind, bool no_id, Datum id, bool no_note, Datum note)
{
	Actor		actor;

	actor.kind = DatumGetCString(DirectFunctionCall1(enum_out, kind));
	actor.id = no_id ? 0 : DatumGetInt64(id);
	if (!no_id && actor.id < 1)
		raise_error(ERROR_ENTITY_NOT_FOUND, "actor " INT64_FORMAT, actor.id);
	actor.note = no_note ? NULL : TextDatumGetCString(note);
	return actor;
}

/* Whether an item is the actor's own, as far as that is to be tested. */
static bool
owns_item(const Actor *actor, const Order *order, const OrderItem *item)
{
	if (actor->id != 0 && strcmp(actor->kind, "BUYER") == 0)
		return order->user_id == actor->id;
	if (actor->id != 0 && strcmp(actor->kind, "SELLER") == 0)
		return seller_of(item) == actor->id;
	return true;
}

/* Whether all items of a seller (0: the shop) are cancelled. */
static bool
group_is_cancelled(const Order *order, int64 seller_id)
{
	for (int i = 0; i < order->nitems; i++)
		if (seller_of(&order->items[i]) == seller_id && !has_status(&order->items[i], "CANCELLED"))
			return false;
	return true;
}

/* What is to be refunded of the shipping now that n items have been cancelled. */
static int64
shipping_refund(const Order *order, OrderItem *const *items, int n)
{
	int64		amount = 0;

	for (int i = 0; i < order->nitems; i++)
	{
		const QuoteLine *line = order->items[i].line;
		int64		seller_id = seller_of(&order->items[i]);
		bool		concerned = false;

		if (line->shipping_fee == line->shipping_discount)
			continue;
		for (int j = 0; j < n && !concerned; j++)
			concerned = (seller_of(items[j]) == seller_id);
		if (concerned && group_is_cancelled(order, seller_id))
			amount += line->shipping_fee - line->shipping_discount;
	}
	return amount;
}

/* Pays an amount (won) back, or asks for it to be paid back, with the event; the order is saved already. */
static void
refund(const Order *order, int64 amount)
{
	bool		to_balance = (order->method == PAYMENT_BALANCE);
	Payment		payment = {0, "REFUND", order->method, to_balance ? "COMPLETED" : "REQUESTED", amount, NULL};

	payment_insert(order->id, &payment);
	if (to_balance)
	{
		BalanceChange change = balance_add(order->user_id, amount);

		balance_record(order->user_id, "REFUND", amount, &change, order->id, NULL);
	}
	order_write_payment_event(order, to_balance ? "RefundCompleted" : "RefundRequested", "refund", &payment);
}

static bool
applies_to(const UsedCoupon *coupon, const OrderItem *item)
{
	if (coupon->scope == SCOPE_PRODUCT)
		return item->line->coupon_issue_id == coupon->issue_id;
	return coupon->scope == SCOPE_ORDER || seller_of(item) == coupon->seller_id;
}

/* Gives back the coupons of which everything that they applied to is cancelled. */
static void
restore_coupons(const Order *order)
{
	int			n;
	UsedCoupon *coupons = coupon_read_used(order->id, &n);
	int			nrestored = 0;

	for (int i = 0; i < n; i++)
	{
		bool		used = false;

		for (int j = 0; j < order->nitems && !used; j++)
			used = applies_to(&coupons[i], &order->items[j]) && !has_status(&order->items[j], "CANCELLED");
		if (!used)
			coupons[nrestored++] = coupons[i];
	}
	coupon_restore(order->id, coupons, nrestored);
}

static void
write_changed_event(const Order *order, OrderItem *const *items, int n, const char *const *former,
					const Actor *actor)
{
	JsonWriter	json = {0};

	order_begin_event(&json, order);
	json_open_array(&json, "changes");
	for (int i = 0; i < n; i++)
	{
		json_open_object(&json, NULL);
		json_put_int(&json, "item_id", items[i]->id);
		json_put_text(&json, "from_status", former[i]);
		json_put_text(&json, "to_status", items[i]->status);
		json_put_int(&json, "quantity", items[i]->line->quantity);
		json_close_object(&json);
	}
	json_close_array(&json);
	json_open_object(&json, "actor");
	json_put_text(&json, "kind", actor->kind);
	json_put_id(&json, "id", actor->id);
	json_put_text(&json, "note", actor->note);
	json_close_object(&json);
	order_write_event(order, "OrderItemStatusChanged", &json);
}

/* Sets the status of n items, which may have different ones now. */
static void
set_items(OrderItem *const *items, int n, const char *status, const Actor *actor)
{
	OrderItem **same = palloc(n * sizeof(OrderItem *));
	bool	   *done = palloc0(n * sizeof(bool));

	for (int i = 0; i < n; i++)
	{
		const char *former = items[i]->status;
		int			nsame = 0;

		if (done[i])
			continue;
		for (int j = i; j < n; j++)
			if (!done[j] && has_status(items[j], former))
			{
				same[nsame++] = items[j];
				done[j] = true;
			}
		order_set_items(same, nsame, status, actor);
	}
	pfree(same);
	pfree(done);
}

/*
 * Takes n (> 0) items of a locked order to a status, with all that this brings about, and returns the
 * orders row.  Raises INVALID_STATE_TRANSITION, REFUND_EXCEEDS_PAID.
 */
static Datum
change_items(Order *order, OrderItem **items, int n, const char *status, const Actor *actor)
{
	bool		cancelled = strcmp(status, "CANCELLED") == 0;
	bool		returned = strcmp(status, "RETURNED") == 0;
	const char **former = palloc(n * sizeof(char *));
	int64		amount = 0;
	Datum		row;

	for (int i = 0; i < n; i++)
		former[i] = items[i]->status;
	set_items(items, n, status, actor);
	if (cancelled || returned)
		for (int i = 0; i < n; i++)
			amount += order_item_net(items[i]);
	if (cancelled)
		amount += shipping_refund(order, items, n);
	if (amount > order->quote->payment_amount - order->refunded_amount)
		raise_error(ERROR_REFUND_EXCEEDS_PAID,
					"order " INT64_FORMAT ": to refund " INT64_FORMAT ", paid " INT64_FORMAT ", refunded " INT64_FORMAT,
					order->id, amount, order->quote->payment_amount, order->refunded_amount);
	order->refunded_amount += amount;

	row = order_save(order);
	write_changed_event(order, items, n, former, actor);
	if (cancelled && strcmp(order->status, "REFUNDED") == 0)
	{
		JsonWriter	json = {0};

		order_begin_event(&json, order);
		order_write_event(order, "OrderCancelled", &json);
	}
	if (amount > 0)
		refund(order, amount);
	if (strcmp(status, "PREPARING") == 0 && strcmp(former[0], "PAID") == 0)
		order_write_delivery(order, items, n);
	if (cancelled)
		restore_coupons(order);
	if (cancelled || returned)
		stock_give(order_stock_moves(items, n), n, cancelled ? "CANCEL" : "RETURN");
	return row;
}

/* Locks the order of an item and finds the item; raises ENTITY_NOT_FOUND, also for somebody else's. */
static Order *
lock_order_of_item(int64 item_id, const Actor *actor, OrderItem **item)
{
	int64		order_id = order_of_item(item_id);
	Order	   *order = order_id ? order_lock(order_id, false) : NULL;

	*item = order ? order_find_item(order, item_id) : NULL;
	if (*item == NULL || !owns_item(actor, order, *item))
		raise_error(ERROR_ENTITY_NOT_FOUND, "order item " INT64_FORMAT, item_id);
	return order;
}

/*
 * Takes an item, or quantity units of it (0: all), to a status; *item becomes the item that has it.
 * Returns the orders row.
 */
static Datum
change_item(Order *order, OrderItem **item, const char *status, const Actor *actor, int64 quantity)
{
	if (!order_may_change(*item, status, actor, false))
		order_refuse_change(*item, status, actor);
	if (quantity > (*item)->line->quantity)
		raise_error(ERROR_INVALID_REQUEST, "order item " INT64_FORMAT " has " INT64_FORMAT " units, not " INT64_FORMAT,
					(*item)->id, (*item)->line->quantity, quantity);
	if (quantity > 0 && quantity < (*item)->line->quantity)
		*item = order_split_item(order, *item, quantity);
	return change_items(order, item, 1, status, actor);
}

/*
 * change_item_status(order_item_id bigint, new_status order_item_status, actor actor_kind,
 *					  actor_id bigint, note text, quantity bigint)
 *
 * Returns the order_items row that has the new status.
 */
Datum
commerce_change_item_status(PG_FUNCTION_ARGS)
{
	static SqlStatement read = {
		"SELECT i::commerce.order_items FROM commerce.order_items i WHERE i.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	Actor		actor;
	Order	   *order;
	OrderItem  *item;
	int64		quantity = PG_ARGISNULL(5) ? 0 : PG_GETARG_INT64(5);
	Datum		id;
	Datum		row;

	gate_enter("change_item_status()");
	if (PG_ARGISNULL(0))
		raise_error(ERROR_INVALID_REQUEST, "order_item_id must not be null");
	if (PG_ARGISNULL(1))
		raise_error(ERROR_INVALID_REQUEST, "new_status must not be null");
	if (PG_ARGISNULL(2))
		raise_error(ERROR_INVALID_REQUEST, "actor must not be null");
	if (!PG_ARGISNULL(5) && quantity < 1)
		raise_error(ERROR_INVALID_REQUEST, "quantity must be 1 or more, or null for all");
	actor = get_actor(PG_GETARG_DATUM(2), PG_ARGISNULL(3), PG_GETARG_DATUM(3), PG_ARGISNULL(4), PG_GETARG_DATUM(4));
	order = lock_order_of_item(PG_GETARG_INT64(0), &actor, &item);
	(void) change_item(order, &item, DatumGetCString(DirectFunctionCall1(enum_out, PG_GETARG_DATUM(1))),
					   &actor, quantity);

	id = Int64GetDatum(item->id);
	SPI_connect();
	sql_execute(&read, &id, NULL);
	row = sql_transfer(0, 1);
	SPI_finish();
	PG_RETURN_DATUM(row);
}

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
		raise_error(ERROR_INVALID_REQUEST, "order_item_id must not be null");
	if (PG_ARGISNULL(1) || PG_GETARG_INT64(1) < 1)
		raise_error(ERROR_INVALID_REQUEST, "quantity must be 1 or more");
	if (PG_ARGISNULL(2))
		raise_error(ERROR_INVALID_REQUEST, "actor must not be null");
	actor = get_actor(PG_GETARG_DATUM(2), PG_ARGISNULL(3), PG_GETARG_DATUM(3), PG_ARGISNULL(4), PG_GETARG_DATUM(4));
	order = lock_order_of_item(PG_GETARG_INT64(0), &actor, &item);
	PG_RETURN_DATUM(change_item(order, &item, "CANCELLED", &actor, PG_GETARG_INT64(1)));
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
	bool		owned = true;
	Datum		row;

	gate_enter("cancel_order()");
	if (PG_ARGISNULL(0))
		raise_error(ERROR_INVALID_REQUEST, "order_id must not be null");
	if (PG_ARGISNULL(1))
		raise_error(ERROR_INVALID_REQUEST, "actor must not be null");
	actor = get_actor(PG_GETARG_DATUM(1), PG_ARGISNULL(2), PG_GETARG_DATUM(2), PG_ARGISNULL(3), PG_GETARG_DATUM(3));
	order = order_lock(PG_GETARG_INT64(0), false);
	for (int i = 0; order && i < order->nitems; i++)
		owned = owned && owns_item(&actor, order, &order->items[i]);
	if (order == NULL || !owned)
		raise_error(ERROR_ENTITY_NOT_FOUND, "order " INT64_FORMAT, PG_GETARG_INT64(0));

	if (strcmp(order->status, "PENDING_PAYMENT") == 0)
	{
		HoldEnd		cancelled = {"EXPIRED", "CANCEL", actor, NULL};

		hold_end(&order, 1, &cancelled, &row);
		PG_RETURN_DATUM(row);
	}
	items = palloc(order->nitems * sizeof(OrderItem *));
	for (int i = 0; i < order->nitems; i++)
		if (!has_status(&order->items[i], "CANCELLED") && !has_status(&order->items[i], "RETURNED"))
			items[n++] = &order->items[i];
	if (n == 0)
		raise_error(ERROR_INVALID_STATE_TRANSITION, "order " INT64_FORMAT " is %s already", order->id, order->status);
	PG_RETURN_DATUM(change_items(order, items, n, "CANCELLED", &actor));
}

static TimestampTz
confirmed_from(void)
{
	return GetCurrentTimestamp() - (int64) commerce_auto_confirm_after * USECS_PER_SEC;
}

/* Confirms the items of a locked order that were delivered long ago; answers how many. */
static int
confirm_items(Order *order)
{
	OrderItem **items = palloc(order->nitems * sizeof(OrderItem *));
	int			n = 0;

	for (int i = 0; i < order->nitems; i++)
		if (has_status(&order->items[i], "DELIVERED") && order->items[i].delivered_at <= confirmed_from())
			items[n++] = &order->items[i];
	if (n > 0)
		(void) change_items(order, items, n, "CONFIRMED", &actor_system);
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

/*
 * confirm_delivered_items(max_rows int)
 *
 * Confirms the items that were delivered longer than commerce.auto_confirm_after ago, of at most
 * max_rows orders that nobody is working on, and returns how many items.  It waits for nothing.
 */
Datum
commerce_confirm_delivered_items(PG_FUNCTION_ARGS)
{
	static const Sweep confirm = {"delivered order", "confirmed", confirm_orders, NULL};
	static SqlStatement find = {
		"SELECT i.order_id, pg_catalog.min(i.delivered_at) FROM commerce.order_items i "
		"WHERE i.status OPERATOR(pg_catalog.=) 'DELIVERED' AND i.delivered_at OPERATOR(pg_catalog.<=) $1 "
		"GROUP BY i.order_id ORDER BY 2 LIMIT $2",
		2, {TIMESTAMPTZOID, INT8OID}
	};
	Datum		values[2];
	int64	   *ids;
	int			n;

	gate_enter("confirm_delivered_items()");
	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		raise_error(ERROR_INVALID_REQUEST, "max_rows must be 1 or more");
	values[0] = TimestampTzGetDatum(confirmed_from());
	values[1] = Int64GetDatum(PG_GETARG_INT32(0));
	ids = sql_ids(&find, values, &n);
	PG_RETURN_INT32(sweep(&confirm, ids, n));
}
