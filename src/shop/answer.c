/*
 * answer.c
 *	  What payment providers answer, and what becomes of the order by it.
 *
 * An order that is paid outside waits as PENDING_PAYMENT, with its stock and coupons held (overdue.c).  The
 * first answer decides it.  Then:
 * - a success for an order that was given up meanwhile takes stock and coupons again, or, when these
 *   cannot be had, or when a person cancelled the order, asks for the money to be refunded;
 * - whatever comes for an order that was paid changes nothing (providers announce one payment under several
 *   ids: to refund what looks like a second payment would be to refund the first);
 * - a failure for an order that was given up is noted.
 * An answer that has the id of an earlier one is that answer again.
 *
 * Lock order: gate, the provider's event id (in the place of an idempotency key), user's row, order's
 * row, coupons by id, products by id.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/subtransaction.h"
#include "escrow/gate.h"
#include "shop/coupon.h"
#include "shop/order_event.h"
#include "shop/overdue.h"

PG_FUNCTION_INFO_V1(commerce_confirm_payment);

/* Gives a locked order that holds all it needs its paid state, with rows and events. */
static Datum
enter_paid(Order *order, const Payment *payment)
{
	OrderItem **items = order_all_items(order);
	Datum		row;

	order->paid_at = GetCurrentTransactionStartTimestamp();
	order_items_set_status(items, order->nitems, ORDER_ITEM_STATUS_PAID, &actor_system);
	if (commerce_auto_prepare)
		order_items_set_status(items, order->nitems, ORDER_ITEM_STATUS_PREPARING, &actor_system);
	row = order_save(order);
	order_write_paid(order, payment);
	return row;
}

/* Takes the stock of an order that was given up; false when there is too little of something. */
static bool
take_stock_again(const StockMove *moves, int n)
{
	for (int i = 0; i < n;)
	{
		int64		product_id = moves[i].product_id;
		int64		units = 0;
		int64		available;

		for (; i < n && moves[i].product_id == product_id; i++)
			units += moves[i].units;
		if (!stock_try_take(product_id, units, &available))
			return false;
	}
	return true;
}

/* What an order that was given up had. */
typedef struct Given
{
	int64		order_id;
	StockMove  *moves;
	int			nmoves;
} Given;

/* Takes coupons and stock again; false, with some of it done, when something cannot be had. */
static bool
take_again(void *arg)
{
	const Given *given = arg;

	if (!coupon_use_again(given->order_id) || !take_stock_again(given->moves, given->nmoves))
		return false;
	stock_record_taken(given->moves, given->nmoves);
	return true;
}

/* Takes coupons and stock of an order that was given up, all of them or nothing. */
static bool
hold_again(Order *order)
{
	Given		given = {order->id, order_items_stock_moves(order_all_items(order), order->nitems), order->nitems};

	return subtransaction_keep_if(take_again, &given);
}

/* A payment of all that an order costs. */
static Payment
new_payment(const Order *order, PaymentKind kind, PaymentStatus status, text *provider_event_id)
{
	return (Payment) {
		.order_id = order->id, .user_id = order->user_id, .kind = kind, .method = order->method, .status = status,
		.amount = order->totals.payment_amount, .provider_event_id = provider_event_id
	};
}

/* A success for a cancelled order that was never paid. */
static Datum
pay_late(Order *order, text *provider_event_id)
{
	Payment		payment = new_payment(order, PAYMENT_KIND_PAYMENT, PAYMENT_STATUS_COMPLETED, provider_event_id);
	Payment		refund = new_payment(order, PAYMENT_KIND_REFUND, PAYMENT_STATUS_REQUESTED, NULL);
	Datum		row;

	if (order_items_given_up(order->id) && hold_again(order))
	{
		payment_insert(&payment);
		return enter_paid(order, &payment);
	}
	payment_insert(&payment);
	payment_insert(&refund);
	order->refunded_amount += refund.amount;
	row = order_save(order);
	order_write_payment_event(order, "RefundRequested", "refund", &refund);
	return row;
}

static Datum
note_failure(const Order *order, text *provider_event_id)
{
	Payment		payment = new_payment(order, PAYMENT_KIND_PAYMENT, PAYMENT_STATUS_FAILED, provider_event_id);

	payment_insert(&payment);
	return order_row(order->id);
}

/*
 * confirm_payment(order_id bigint, succeeded boolean, provider_event_id text)
 *
 * Returns the orders row as it is after the answer.
 */
Datum
commerce_confirm_payment(PG_FUNCTION_ARGS)
{
	int64		order_id;
	bool		succeeded;
	text	   *provider_event_id;
	Order	   *order;
	Datum		row;

	gate_enter("confirm_payment()");
	order_id = arg_int64(fcinfo, 0, "order_id");
	succeeded = arg_bool(fcinfo, 1, "succeeded");
	provider_event_id = arg_text(fcinfo, 2, "provider_event_id");
	payment_lock_event(provider_event_id);
	order = order_lock(order_id, false);
	if (order == NULL)
		raise_not_found("order", order_id);
	if (payment_is_known(provider_event_id, order_id, succeeded))
		PG_RETURN_DATUM(order_row(order_id));
	if (order->method != PAYMENT_METHOD_EXTERNAL)
		raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order"), D_INT("id", order_id),
					D_TEXT("reason", "the order is paid from the balance"));

	if (order->status == ORDER_STATUS_PENDING_PAYMENT)
	{
		if (succeeded)
		{
			Payment		payment = new_payment(order, PAYMENT_KIND_PAYMENT, PAYMENT_STATUS_COMPLETED, NULL);

			payment.id = payment_end_requested(order_id, PAYMENT_STATUS_COMPLETED, provider_event_id, &payment.amount);
			row = enter_paid(order, &payment);
		}
		else
		{
			UnpaidEnd	failed = {PAYMENT_STATUS_FAILED, STOCK_REASON_CANCEL, actor_system, provider_event_id};

			unpaid_end(&order, 1, &failed, &row);
		}
	}
	else if (payment_is_completed(order_id))
		row = order_row(order_id);
	else if (!succeeded)
		row = note_failure(order, provider_event_id);
	else
		row = pay_late(order, provider_event_id);
	PG_RETURN_DATUM(row);
}
