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

#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/sql.h"
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
	const char *status;

	if (order->paid_at == 0)
		status = "PENDING_PAYMENT";
	else
		status = commerce_auto_prepare ? "PREPARING" : "PAID";
	order->nitems = quote->nlines;
	order->items = palloc0(order->nitems * sizeof(OrderItem));
	for (int i = 0; i < order->nitems; i++)
	{
		order->items[i].id = commerce_nextval("order_items_id_seq");
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
	Payment		payment = {0, "PAYMENT", method, NULL, quote->totals.payment_amount, NULL};
	int64		amount = quote->totals.payment_amount;
	BalanceChange change = {0};
	bool		payable = true;
	Datum		row;

	for (int i = 0; i < quote->nproducts; i++)
		stock_refuse_if_short(quote->products[i].id, quote->products[i].demand);

	if (method == PAYMENT_BALANCE)
		payable = balance_take(user_id, amount, &change);
	take_stock(quote);
	if (!payable)
		raise_error(ERROR_BALANCE_NOT_ENOUGH, D_INT("user_id", user_id), D_INT("asked", amount),
					D_INT("balance", change.balance));

	order.id = commerce_nextval("orders_id_seq");
	order.user_id = user_id;
	order.method = method;
	order.totals = quote->totals;
	order.created_at = GetCurrentTransactionStartTimestamp();
	order.event_key = outbox_first_key();
	if (method == PAYMENT_BALANCE)
	{
		order.status = "PAID";
		order.paid_at = order.created_at;
	}
	else
	{
		order.status = "PENDING_PAYMENT";
		order.expires_at = order.created_at + (int64) commerce_payment_ttl * USECS_PER_SEC;
	}
	payment.status = order.paid_at ? "COMPLETED" : "REQUESTED";
	fill_items(&order, quote);
	row = order_insert(&order);
	order_items_insert(order.id, order.items, order.nitems);
	order_items_record_first(order.items, order.nitems, user_id, order.paid_at != 0);
	payment_insert(order.id, &payment);
	record_stock(&order);
	if (method == PAYMENT_BALANCE)
		balance_record(user_id, "PAYMENT", -amount, &change, order.id, NULL);
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
	text	   *key = PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3);
	PaymentMethod method;
	QuoteRequest *request;
	IdempotentCall call;
	Datum		row;

	gate_enter("place_order()");
	if (PG_ARGISNULL(0))
		raise_invalid("user_id", "must not be null");
	if (PG_ARGISNULL(4))
		raise_invalid("payment_method", "must not be null");
	user_id = PG_GETARG_INT64(0);
	method = payment_method_of(PG_GETARG_DATUM(4));
	request = quote_parse(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1),
						  PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));

	idempotency_init(&call, idempotency_scope("user", user_id), "place_order", key,
					 key ? psprintf("%s %s", quote_canonical(request), payment_method_labels[method]) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));

	/* who may not order is told so before he waits for anybody, and again when he has */
	user_require_active(user_id, false);
	if (make_way(user_id, request) || request->ncoupons > 0)
		user_require_active(user_id, request->ncoupons > 0);
	if (request->ncoupons > 0)
		make_way_for_coupons(user_id, request);
	row = order_place(user_id, quote_make(user_id, request, true), method);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
