/*
 * retry.c
 *	  Paying an order anew that was given up.
 *
 * Lock order: gate, idempotency key, user's row, order's row, coupons by id, products by id.  On a shortage overdue
 * orders are ended, and waited for, before the user's row is locked (make_way.c).
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "escrow/gate.h"
#include "shop/archive.h"
#include "shop/coupon.h"
#include "shop/idempotency.h"
#include "shop/make_way.h"
#include "shop/order_event.h"
#include "shop/place.h"
#include "shop/revive.h"

PG_FUNCTION_INFO_V1(commerce_retry_payment);

/* What an order asks for, as make_way() wants it. */
static QuoteRequest
request_of(int64 order_id)
{
	QuoteRequest request = {0};
	int			nitems;
	OrderItem  *items = order_items_read(order_id, &nitems);
	OrderItem **pointers = palloc(nitems * sizeof(OrderItem *));
	StockMove  *moves;

	for (int i = 0; i < nitems; i++)
		pointers[i] = &items[i];
	moves = order_items_stock_moves(pointers, nitems);
	request.product_ids = palloc(nitems * sizeof(int64));
	request.units = palloc0(nitems * sizeof(int64));
	for (int i = 0; i < nitems; i++)
	{
		if (request.nproducts == 0 || request.product_ids[request.nproducts - 1] != moves[i].product_id)
			request.product_ids[request.nproducts++] = moves[i].product_id;
		request.units[request.nproducts - 1] += moves[i].units;
	}
	request.coupon_issue_ids = coupon_ids_of_order(order_id, &request.ncoupons);
	return request;
}

/* Raises INVALID_STATE_TRANSITION or RESERVATION_EXPIRED unless a locked order can be paid anew. */
static void
require_payable(const Order *order)
{
	TimestampTz until = order->created_at + commerce_payment_ttl_max * USECS_PER_SEC;

	if (order->status != ORDER_STATUS_CANCELLED || payment_is_completed(order->id))
		raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order"), D_INT("id", order->id),
					D_TEXT("from", catalog_label_name(TYPE_ORDER_STATUS, order->status)),
					D_TEXT("to", catalog_label_name(TYPE_ORDER_STATUS, ORDER_STATUS_PENDING_PAYMENT)));
	if (GetCurrentTransactionStartTimestamp() > until)
		raise_error(ERROR_RESERVATION_EXPIRED, D_INT("order_id", order->id), D_TEXT("until", calendar_time_text(until)));
}

/* Gives a locked order that has taken again what it had its pending state, with its payment and event. */
static Datum
enter_pending(Order *order, const Payment *asked, int64 time)
{
	Payment		payment = {
		.order_id = order->id, .user_id = order->user_id, .kind = PAYMENT_KIND_PAYMENT,
		.method = PAYMENT_METHOD_EXTERNAL, .status = PAYMENT_STATUS_REQUESTED, .amount = asked->amount,
		.channel = asked->channel, .tax_free_amount = asked->tax_free_amount
	};
	Datum		row;

	order->expires_at = GetCurrentTransactionStartTimestamp() + time;
	order_items_set_status(order_all_items(order), order->nitems, ORDER_ITEM_STATUS_PENDING_PAYMENT, 0, &actor_system);
	row = order_save(order);
	payment_insert(&payment);
	order_write_requested(order, &payment);
	return row;
}

/*
 * retry_payment(order_id bigint, pay_within interval, idempotency_key text)
 *
 * Returns the orders row.
 */
Datum
commerce_retry_payment(PG_FUNCTION_ARGS)
{
	int64		order_id;
	Interval   *pay_within = PG_ARGISNULL(1) ? NULL : PG_GETARG_INTERVAL_P(1);
	text	   *key = arg_text_or_null(fcinfo, 2, "idempotency_key");
	IdempotentCall call;
	QuoteRequest request;
	Payment		asked;
	Order	   *order;
	int64		user_id;
	int64		time;
	Datum		row;

	gate_enter("retry_payment()");
	order_id = arg_int64(fcinfo, 0, "order_id");
	(void) payment_time(NULL, pay_within);
	idempotency_init(&call, idempotency_scope("order", order_id), "retry_payment", key,
					 pay_within ? DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(pay_within))) : "");
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(order_stored(row));

	user_id = order_user(order_id);
	if (user_id == 0)
		archive_raise_missing("order", order_id, NULL);
	request = request_of(order_id);
	(void) make_way(user_id, &request);
	order = order_lock(order_id, false);
	if (order == NULL)
		archive_raise_missing("order", order_id, NULL);
	require_payable(order);
	if (!payment_read_asked(order_id, &asked))
		elog(ERROR, "nobody was asked to pay order " INT64_FORMAT, order_id);
	time = payment_time(asked.channel, pay_within);
	user_require_active(user_id, false);
	place_require_pending_room(user_id);
	make_way_for_coupons(user_id, &request);
	revive_or_raise(order, order->totals.payment_amount - asked.amount);
	row = enter_pending(order, &asked, time);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}
