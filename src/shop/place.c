/*
 * place.c
 *	  Placing orders.
 *
 * One call is one order is one transaction: everything is checked, taken, paid and written, or nothing
 * is.  Lock order: gate, idempotency key, user's row, coupons by id, products by id.  On a shortage
 * overdue orders are ended, and waited for, before the user's row is locked (make_way.c).
 *
 * When several things are wrong, the error is the first of: the request's form, the key, the user, the
 * products (in the catalogue, on sale, purchase limit), the coupons, the stock, the balance.  But a call
 * without a key may be told first that nothing of a product is left.
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

/*
 * Raises STOCK_NOT_ENOUGH.  Who is short only because of an unpaid order of his own is told which: he can pay it, or
 * cancel it.
 */
static void
refuse_short(int64 user_id, const Product *product, int64 available)
{
	int64		own_order_id;

	available = Max(available, 0);
	own_order_id = order_find_unpaid(user_id, product->id, product->demand - available);
	raise_error(ERROR_STOCK_NOT_ENOUGH, D_INT("index", product->index), D_INT("product_id", product->id),
				D_INT("asked", product->demand), D_INT("available", available),
				D_INT_IF(own_order_id != 0, "own_order_id", own_order_id));
}

/*
 * Whether nothing of a product is to be had: nothing is available or in flight, and no unpaid order holds any.  The
 * counter is asked again, since an order that has ended meanwhile has given its units back.
 */
static bool
is_gone(int64 product_id)
{
	return stock_is_surely_short(product_id, 1) && !order_items_hold(product_id) && stock_is_surely_short(product_id, 1);
}

/*
 * Refuses a request for a product of which nothing is left before the user, the products and the coupons are looked
 * at: in a rush most requests are such.
 */
static void
refuse_gone(const QuoteRequest *request)
{
	for (int i = 0; i < request->nproducts; i++)
	{
		int64		id = request->product_ids[i];
		int			line = 0;

		if (!is_gone(id))
			continue;
		while (request->lines[line].product_id != id)
			line++;
		raise_error(ERROR_STOCK_NOT_ENOUGH, D_INT("index", request->lines[line].position), D_INT("product_id", id),
					D_INT("asked", request->units[i]), D_INT("available", 0));
	}
}

/* Refuses who is surely short of something before he waits for anybody. */
static void
require_stock(int64 user_id, const Quote *quote)
{
	for (int i = 0; i < quote->nproducts; i++)
	{
		const Product *product = &quote->products[i];
		int64		available;

		if (stock_find_short(product->id, product->demand, &available))
			refuse_short(user_id, product, available);
	}
}

static void
take_stock(int64 user_id, const Quote *quote)
{
	for (int i = 0; i < quote->nproducts; i++)
	{
		Product    *product = &quote->products[i];
		int64		available;

		while (!stock_try_take(product->id, product->demand, &available))
			if (!make_way_at_once(product->id, product->demand))
			{
				if (!stock_take_anywhere(product->id, product->demand, &available))
					refuse_short(user_id, product, available);
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
		order->items[i].last_event = status == ORDER_ITEM_STATUS_PREPARING ? 2 : 1;
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
	stock_record(moves, order->nitems, STOCK_REASON_ORDER);
}

/* The recipient: what the call gives, and the user's own where it gives nothing. */
static Recipient
recipient_of(const User *buyer, const Recipient *delivery)
{
	Recipient	recipient = *delivery;

	if (recipient.name == NULL)
		recipient.name = buyer->name;
	if (recipient.phone == NULL)
		recipient.phone = buyer->phone;
	if (recipient.address == NULL)
		recipient.address = buyer->address;
	return recipient;
}

/* What the balance is to pay of a quote. */
static int64
balance_share(const Quote *quote, const Terms *terms)
{
	if (terms->method == PAYMENT_METHOD_BALANCE)
		return quote->totals.payment_amount;
	if (terms->balance_part > quote->totals.payment_amount)
		raise_invalid("balance_part", "must be at most the payment amount, " INT64_FORMAT, quote->totals.payment_amount);
	return terms->balance_part;
}

/*
 * The payments of an order: what the balance pays is completed at once, and the rest is requested of the provider.
 * Where nothing is left to request the order is paid: by the balance's payment alone, or, where there was nothing to
 * pay, by one of 0.
 */
static int
fill_payments(const Order *order, const Terms *terms, int64 from_balance, Payment *payments)
{
	int64		rest = order->totals.payment_amount - from_balance;
	int			n = 0;

	if (terms->method == PAYMENT_METHOD_BALANCE || from_balance > 0)
		payments[n++] = (Payment) {
			.order_id = order->id, .user_id = order->user_id, .kind = PAYMENT_KIND_PAYMENT,
			.method = PAYMENT_METHOD_BALANCE, .status = PAYMENT_STATUS_COMPLETED, .amount = from_balance
		};
	if (rest > 0 || n == 0)
		payments[n++] = (Payment) {
			.order_id = order->id, .user_id = order->user_id, .kind = PAYMENT_KIND_PAYMENT,
			.method = PAYMENT_METHOD_EXTERNAL, .channel = terms->channel, .amount = rest,
			.status = rest > 0 ? PAYMENT_STATUS_REQUESTED : PAYMENT_STATUS_COMPLETED
		};
	for (int i = 0; i < n; i++)
		payments[i].tax_free_amount = order_tax_free_part(order, payments[i].method, payments[i].amount);
	return n;
}

/* An order of a quote, and whether it is paid at once; nothing of it is stored yet. */
static Order
new_order(const User *buyer, const Quote *quote, const Terms *terms, bool paid)
{
	Order		order = {0};

	order.id = catalog_nextval(SEQUENCE_ORDERS_ID);
	order.user_id = buyer->id;
	order.method = terms->method;
	order.totals = quote->totals;
	order.recipient = recipient_of(buyer, &terms->delivery);
	order.metadata = terms->metadata;
	order.created_at = GetCurrentTransactionStartTimestamp();
	order.event_key = current_key();
	if (paid)
	{
		order.status = ORDER_STATUS_PAID;
		order.paid_at = order.created_at;
	}
	else
	{
		order.status = ORDER_STATUS_PENDING_PAYMENT;
		order.expires_at = order.created_at + payment_time(terms->channel, terms->pay_within);
	}
	fill_items(&order, quote);
	return order;
}

Datum
order_place(const User *buyer, const Quote *quote, const Terms *terms)
{
	int64		from_balance = balance_share(quote, terms);
	bool		payable = true;
	BalanceChange change = {0};
	Payment		payments[2];
	int			npayments;
	Order		order;
	Datum		row;

	if (terms->method == PAYMENT_METHOD_BALANCE || from_balance > 0)
	{
		require_stock(buyer->id, quote);
		payable = balance_take(buyer->id, from_balance, &change);
	}
	take_stock(buyer->id, quote);
	if (!payable)
		raise_error(ERROR_BALANCE_NOT_ENOUGH, D_INT("user_id", buyer->id), D_INT("asked", from_balance),
					D_INT("balance", change.balance));

	order = new_order(buyer, quote, terms, from_balance == quote->totals.payment_amount);
	npayments = fill_payments(&order, terms, from_balance, payments);
	row = order_insert(&order);
	order_items_insert(order.id, order.user_id, order.items, order.nitems);
	order_items_record_first(order.items, order.nitems, order.user_id, order.paid_at != 0);
	for (int i = 0; i < npayments; i++)
		payment_insert(&payments[i]);
	record_stock(&order);
	if (from_balance > 0)
		balance_record(buyer->id, BALANCE_ENTRY_KIND_PAYMENT, -from_balance, &change, order.id, 0, NULL);
	coupon_use(quote->coupons, quote->ncoupons, order.id);
	order_write_created(&order, &payments[npayments - 1]);
	return row;
}

void
place_require_pending_room(int64 user_id)
{
	if (order_count_unpaid(user_id) >= commerce_max_pending_orders)
		raise_error(ERROR_PENDING_LIMIT_EXCEEDED, D_INT("user_id", user_id), D_INT("limit", commerce_max_pending_orders));
}

/*
 * place_order(user_id bigint, items jsonb, coupon_issue_ids bigint[], idempotency_key text,
 *			   payment_method payment_method, delivery jsonb, metadata jsonb, pay_within interval,
 *			   balance_part bigint, payment_channel text)
 *
 * items: 1 to 1000 objects {"product_id", "quantity", "coupon_issue_id"?}; returns the orders row.
 */
Datum
commerce_place_order(PG_FUNCTION_ARGS)
{
	int64		user_id;
	text	   *key = arg_text_or_null(fcinfo, 3, "idempotency_key");
	QuoteRequest *request;
	Terms		terms;
	IdempotentCall call;
	User		buyer;
	bool		external;
	bool		lock;
	bool		short_of;
	Datum		row;

	gate_enter("place_order()");
	user_id = arg_int64(fcinfo, 0, "user_id");
	request = quote_parse(arg_jsonb_or_null(fcinfo, 1), arg_array_or_null(fcinfo, 2));
	terms = terms_get(fcinfo, 4);
	external = terms.method == PAYMENT_METHOD_EXTERNAL;

	idempotency_init(&call, key ? idempotency_scope("user", user_id) : NULL, "place_order", key,
					 key ? psprintf("%s %s", quote_canonical(request), terms_canonical(&terms)) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));

	/* the order that bought the last unit may have this key */
	short_of = make_way_is_needed(request);
	if (short_of && key == NULL)
		refuse_gone(request);

	/* who may not order is told so before he waits for anybody, and again when he has */
	lock = request->ncoupons > 0 || external;
	buyer = user_read_active(user_id, lock && !short_of);
	if (short_of && (make_way(user_id, request) || lock))
		buyer = user_read_active(user_id, lock);
	if (request->ncoupons > 0)
		make_way_for_coupons(user_id, request);
	if (external)
		place_require_pending_room(user_id);
	row = order_place(&buyer, quote_make(user_id, request, true), &terms);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
