/*
 * returns.c
 *	  What came back from a buyer: a return that is completed, or an exchange.
 *
 * An exchange takes the replacement out of the stock and puts what came back into it, in one transaction; no money
 * moves.  The replacement is the same product, or another one of the same seller that is on sale and costs now what the
 * replaced one costs now.  From then on the item is about the replacement: returns, restocking and limits.
 *
 * Lock order: gate, key, user's row, order's row, products by id.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "escrow/gate.h"
#include "shop/idempotency.h"
#include "shop/order_event.h"
#include "shop/product.h"
#include "shop/returns.h"
#include "shop/step.h"

PG_FUNCTION_INFO_V1(commerce_complete_exchange);
PG_FUNCTION_INFO_V1(commerce_complete_return);

Datum
return_complete(Order *order, OrderItem **item, int64 quantity, bool restock, int64 deduction, const Actor *actor)
{
	const Step	step = {
		.status = ORDER_ITEM_STATUS_RETURNED, .actor = actor, .restock = restock, .deduction = deduction
	};

	return step_item(order, item, quantity, &step);
}

/*
 * complete_return(order_item_id bigint, restock boolean, deduction bigint, quantity bigint, actor actor_kind,
 *				   actor_id bigint, note text, idempotency_key text)
 *
 * Returns the orders row.
 */
Datum
commerce_complete_return(PG_FUNCTION_ARGS)
{
	int64		item_id;
	bool		restock;
	int64		deduction;
	int64		quantity;
	Actor		actor;
	text	   *key = arg_text_or_null(fcinfo, 7, "idempotency_key");
	IdempotentCall call;
	Order	   *order;
	OrderItem  *item;
	Datum		row;

	gate_enter("complete_return()");
	item_id = arg_int64(fcinfo, 0, "order_item_id");
	restock = arg_bool(fcinfo, 1, "restock");
	deduction = arg_int64(fcinfo, 2, "deduction");
	if (deduction < 0)
		raise_invalid("deduction", "must be 0 or more");
	quantity = arg_quantity(fcinfo, 3);
	actor = actor_get(fcinfo, 4);
	idempotency_init(&call, idempotency_scope("item", item_id), "complete_return", key,
					 key ? psprintf("%d " INT64_FORMAT " " INT64_FORMAT " %s", restock, deduction, quantity,
									actor_canonical(&actor)) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));
	order = step_lock_item(item_id, &actor, &item);
	row = return_complete(order, &item, quantity, restock, deduction, &actor);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}

/* What a product costs now, without coupons. */
static int64
price_now(const Product *product)
{
	return product->price - Min(product->reduction, product->price);
}

/* The replacement for an item, beside what is replaced; by ascending id, as product_read() wants them. */
static const Product *
judge_replacement(const Order *order, const OrderItem *item, int64 replacement_id)
{
	int64		replaced_id = order_item_product(item);
	int64		ids[2] = {Min(replaced_id, replacement_id), Max(replaced_id, replacement_id)};
	Product    *products;
	const Product *replaced;
	const Product *replacement;

	if (replacement_id == replaced_id)
		return product_read(ids, 1);
	products = product_read(ids, 2);
	replaced = replaced_id == ids[0] ? &products[0] : &products[1];
	replacement = replaced == &products[0] ? &products[1] : &products[0];
	if (replacement->seller_id != item->line.seller_id)
		raise_invalid("replacement_product_id", "must be a product of the same seller");
	if (!replacement->on_sale || !replacement->seller_active)
		raise_error(ERROR_PRODUCT_NOT_ON_SALE, D_INT("product_id", replacement->id));
	if (price_now(replacement) != price_now(replaced))
		raise_invalid("replacement_product_id", "must cost what the replaced product costs now, " INT64_FORMAT,
					  price_now(replaced));
	if (replacement->max_per_user > 0)
		order_items_require_limit(order->user_id, replacement->id, item->line.quantity, replacement->max_per_user, -1);
	return replacement;
}

/* Gives what came back, and takes the replacement; products by ascending id. */
static void
move_stock(const OrderItem *item, int64 replacement_id, bool restock)
{
	StockMove	back = {order_item_product(item), item->line.quantity, item->id};
	StockMove	out = {replacement_id, item->line.quantity, item->id};
	int64		available;

	if (restock && back.product_id <= out.product_id)
		stock_give(&back, 1, STOCK_REASON_EXCHANGE);
	if (!stock_take_anywhere(out.product_id, out.units, &available))
		stock_raise_short(out.product_id, out.units, available);
	stock_record(&out, 1, STOCK_REASON_EXCHANGE);
	if (restock && back.product_id > out.product_id)
		stock_give(&back, 1, STOCK_REASON_EXCHANGE);
}

OrderItem *
exchange_complete(Order *order, OrderItem *item, int64 quantity, bool restock, int64 replacement_id, const Actor *actor)
{
	const Step	step = {.status = ORDER_ITEM_STATUS_EXCHANGED, .actor = actor};
	const Product *replacement;

	item = step_take_part(order, item, step.status, actor, quantity);
	if (replacement_id == 0)
		replacement_id = order_item_product(item);
	replacement = judge_replacement(order, item, replacement_id);
	move_stock(item, replacement_id, restock);
	if (replacement_id != order_item_product(item))
		item->line.user_limit = replacement->max_per_user;
	item->replacement_product_id = replacement_id;
	item->shipment_id = 0;
	item->restocked = restock ? RESTOCKED : NOT_RESTOCKED;
	order_item_store(item, order->user_id);
	(void) step_items(order, &item, 1, &step);
	order_write_delivery(order, &item, 1);
	return item;
}

/*
 * complete_exchange(order_item_id bigint, restock boolean, replacement_product_id bigint, quantity bigint,
 *					 actor actor_kind, actor_id bigint, note text, idempotency_key text)
 *
 * Returns the order_items row.
 */
Datum
commerce_complete_exchange(PG_FUNCTION_ARGS)
{
	int64		item_id;
	bool		restock;
	int64		replacement_id = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	int64		quantity;
	Actor		actor;
	text	   *key = arg_text_or_null(fcinfo, 7, "idempotency_key");
	IdempotentCall call;
	Order	   *order;
	OrderItem  *item;
	Datum		row;

	gate_enter("complete_exchange()");
	item_id = arg_int64(fcinfo, 0, "order_item_id");
	restock = arg_bool(fcinfo, 1, "restock");
	if (!PG_ARGISNULL(2) && replacement_id < 1)
		raise_not_found("product", replacement_id);
	quantity = arg_quantity(fcinfo, 3);
	actor = actor_get(fcinfo, 4);
	idempotency_init(&call, idempotency_scope("item", item_id), "complete_exchange", key,
					 key ? psprintf("%d " INT64_FORMAT " " INT64_FORMAT " %s", restock, replacement_id, quantity,
									actor_canonical(&actor)) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_item_stored(row));
	order = step_lock_item(item_id, &actor, &item);
	item = exchange_complete(order, item, quantity, restock, replacement_id, &actor);
	row = order_item_row(item->id);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
