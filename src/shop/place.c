/*
 * place.c
 *	  Placing orders.
 *
 * One call is one order is one transaction: everything is checked, taken, paid and written, or nothing
 * is.  Lock order: gate, idempotency key, user's row, coupons by id, products by id.  On a shortage
 * overdue orders are ended, and waited for, before the user's row is locked (make_way.c).
 *
 * When several things are wrong, the error is the first of: the request's form, the key, the user, the
 * products (in the catalogue, on sale, purchase limit), the coupons, the stock, the balance.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/key.h"
#include "escrow/gate.h"
#include "events/outbox.h"
#include "shop/balance.h"
#include "shop/coupon.h"
#include "shop/idempotency.h"
#include "shop/make_way.h"
#include "shop/order_event.h"
#include "shop/place.h"
#include "shop/quote.h"
#include "shop/stock.h"
#include "shop/user.h"

PG_FUNCTION_INFO_V1(commerce_place_order);

static void
take_stock(const Quote *quote)
{
	for (int i = 0; i < quote->nproducts; i++)
	{
		Product    *product = &quote->products[i];

		while (!stock_try_take(product->id, product->demand))
			if (!make_way_at_once(product->id, product->demand))
			{
				stock_take(product->id, product->demand);
				break;
			}
	}
}

/* Numbers the items and gives them the status that they have when the order is made. */
static void
fill_items(Order *order, const Quote *quote)
{
	OrderItemStatus status;

	if (order->paid_at == 0)
		status = ORDER_ITEM_STATUS_PENDING_PAYMENT;
	else
		status = commerce_auto_prepare ? ORDER_ITEM_STATUS_PREPARING : ORDER_ITEM_STATUS_PAID;
	order->nitems = quote->nlines;
	order->items = palloc0(order->nitems * sizeof(OrderItem));
	for (int i = 0; i < order->nitems; i++)
	{
		order->items[i].id = catalog_nextval(SEQUENCE_ORDER_ITEMS_ID);
		order->items[i].seq = i + 1;
		order->items[i].status = status;
		order->items[i].line = quote->lines[i].line;
	}
}

static void
record_stock(const Order *order)
{
	StockMove  *moves = palloc(order->nitems * sizeof(StockMove));

	for (int i = 0; i < order->nitems; i++)
	{
		moves[i].product_id = order->items[i].line.product_id;
		moves[i].units = order->items[i].line.quantity;
		moves[i].order_item_id = order->items[i].id;
	}
	stock_record_taken(moves, order->nitems);
}

Datum
order_place(int64 user_id, const Quote *quote, PaymentMethod method)
{
	Order		order = {0};
	int64		amount = quote->totals.payment_amount;
	Payment		payment = {.kind = PAYMENT_KIND_PAYMENT, .method = method, .amount = amount};
	BalanceChange change = {0};
	bool		payable = true;
	Datum		row;

	for (int i = 0; i < quote->nproducts; i++)
		stock_refuse_if_short(quote->products[i].id, quote->products[i].demand);

	if (method == PAYMENT_METHOD_BALANCE)
		payable = balance_take(user_id, amount, &change);
	take_stock(quote);
	if (!payable)
		raise_error(ERROR_BALANCE_NOT_ENOUGH, D_INT("user_id", user_id), D_INT("asked", amount),
					D_INT("balance", change.balance));

	order.id = catalog_nextval(SEQUENCE_ORDERS_ID);
	order.user_id = user_id;
	order.method = method;
	order.totals = quote->totals;
	order.created_at = GetCurrentTransactionStartTimestamp();
	order.event_key = current_key();
	if (method == PAYMENT_METHOD_BALANCE)
	{
		order.status = ORDER_STATUS_PAID;
		order.paid_at = order.created_at;
	}
	else
	{
		order.status = ORDER_STATUS_PENDING_PAYMENT;
		order.expires_at = order.created_at + (int64) commerce_payment_ttl * USECS_PER_SEC;
	}
	payment.status = order.paid_at ? PAYMENT_STATUS_COMPLETED : PAYMENT_STATUS_REQUESTED;
	fill_items(&order, quote);
	row = order_insert(&order);
	order_items_insert(order.id, order.items, order.nitems);
	order_items_record_first(order.items, order.nitems, user_id, order.paid_at != 0);
	payment_insert(order.id, &payment);
	record_stock(&order);
	if (method == PAYMENT_METHOD_BALANCE)
		balance_record(user_id, BALANCE_ENTRY_KIND_PAYMENT, -amount, &change, order.id, NULL);
	coupon_use(quote->coupons, quote->ncoupons, order.id);
	order_write_created(&order, &payment);
	return row;
}

/*
 * place_order(user_id bigint, items jsonb, coupon_issue_ids bigint[], idempotency_key text,
 *			   payment_method payment_method)
 *
 * items: 1 to 1000 objects {"product_id", "quantity", "coupon_issue_id"?}; returns the orders row.
 */
Datum
commerce_place_order(PG_FUNCTION_ARGS)
{
	int64		user_id;
	text	   *key = arg_text_or_null(fcinfo, 3, "idempotency_key");
	PaymentMethod method;
	QuoteRequest *request;
	bool		lock_user;
	IdempotentCall call;
	Datum		row;

	gate_enter("place_order()");
	user_id = arg_int64(fcinfo, 0, "user_id");
	method = arg_label(fcinfo, 4, "payment_method", TYPE_PAYMENT_METHOD);
	request = quote_parse(arg_jsonb_or_null(fcinfo, 1), arg_array_or_null(fcinfo, 2));

	idempotency_init(&call, idempotency_scope("user", user_id), "place_order", key,
					 key ? psprintf("%s %s", quote_canonical(request), catalog_label_name(TYPE_PAYMENT_METHOD, method)) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));

	/* who may not order is told so before he waits for anybody, and again when he has */
	user_require_active(user_id, false);
	/* whoever suspends the user finds an unpaid order, or is found by it */
	lock_user = request->ncoupons > 0 || method == PAYMENT_METHOD_EXTERNAL;
	if (make_way(user_id, request) || lock_user)
		user_require_active(user_id, lock_user);
	if (request->ncoupons > 0)
		make_way_for_coupons(user_id, request);
	row = order_place(user_id, quote_make(user_id, request, true), method);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
