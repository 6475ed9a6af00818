/*
 * answer.c
 *	  What payment providers say of an order's payments and of refunds, and what becomes of the order by it.
 *
 * An order that is paid outside waits as PENDING_PAYMENT, with its stock and coupons held (overdue.c).  The
 * first answer decides it.  Then:
 * - a success for an order that was given up meanwhile takes again what the order had (revive.c), or, when that
 *   cannot be had, or when a person cancelled the order, the money is asked to be refunded;
 * - a success for an order that is paid, or with another amount than was asked for, is money that nobody asked for:
 *   an UNEXPECTED payment, which is neither paid nor refunded as far as the order goes, and is given back whole;
 * - a failure for an order that was given up is noted, one for an order that is paid changes nothing.
 * An answer that was recorded is that answer again.
 *
 * A refund that the provider was asked for is COMPLETED or FAILED by his answer.  One that failed is asked for anew
 * by somebody; the provider may still say later that it was done.
 *
 * Lock order: gate, idempotency key, user's row, order's row, coupons by id, products by id.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "escrow/gate.h"
#include "shop/archive.h"
#include "shop/charge.h"
#include "shop/idempotency.h"
#include "shop/order_event.h"
#include "shop/overdue.h"
#include "shop/refund.h"
#include "shop/revive.h"
#include "shop/user.h"

PG_FUNCTION_INFO_V1(commerce_confirm_payment);
PG_FUNCTION_INFO_V1(commerce_report_refund);
PG_FUNCTION_INFO_V1(commerce_return_payment);

/* Gives a locked order that holds all it needs its paid state, with rows and events. */
static Datum
enter_paid(Order *order, const Payment *payment)
{
	OrderItem **items = order_all_items(order);
	Datum		row;

	order->paid_at = GetCurrentTransactionStartTimestamp();
	order_items_set_status(items, order->nitems, ORDER_ITEM_STATUS_PAID, 0, &actor_system);
	if (commerce_auto_prepare)
		order_items_set_status(items, order->nitems, ORDER_ITEM_STATUS_PREPARING, 0, &actor_system);
	row = order_save(order);
	order_write_paid(order, payment);
	return row;
}

/* Money that nobody asked for. */
static Datum
keep_unexpected(Order *order, Payment *payment)
{
	Datum		row;

	payment->status = PAYMENT_STATUS_UNEXPECTED;
	payment->tax_free_amount = TAX_FREE_UNKNOWN;
	payment_insert(payment);
	row = order_save(order);
	order_write_payment_event(order, "PaymentUnexpected", "payment", payment, NULL);
	return row;
}

/* A success for a cancelled order that was never paid. */
static Datum
pay_late(Order *order, Payment *payment)
{
	Datum		row;

	payment->status = PAYMENT_STATUS_COMPLETED;
	if (order_items_given_up(order->id) && revive_try(order, order->totals.payment_amount - payment->amount))
	{
		payment_insert(payment);
		return enter_paid(order, payment);
	}
	payment_insert(payment);
	order->refunded_amount += payment->amount;
	row = order_save(order);
	refund_pay(order, payment->amount, payment->tax_free_amount, NULL);
	return row;
}

/* What a provider has said: a payment without a status, of the amount that was asked for or came. */
static Datum
take_success(Order *order, Payment *payment, int64 asked)
{
	if (payment->amount == asked && order->status == ORDER_STATUS_PENDING_PAYMENT)
	{
		payment_end_requested(payment, PAYMENT_STATUS_COMPLETED, payment->provider_event_id);
		return enter_paid(order, payment);
	}
	if (payment->amount == asked && order->status == ORDER_STATUS_CANCELLED && !payment_is_completed(order->id))
		return pay_late(order, payment);
	return keep_unexpected(order, payment);
}

static Datum
take_failure(Order *order, Payment *payment)
{
	Datum		row;

	if (order->status == ORDER_STATUS_PENDING_PAYMENT)
	{
		UnpaidEnd	failed = {PAYMENT_STATUS_FAILED, STOCK_REASON_CANCEL, actor_system, payment->provider_event_id};

		unpaid_end(&order, 1, &failed, &row);
		return row;
	}
	if (order->status == ORDER_STATUS_CANCELLED && !payment_is_completed(order->id))
	{
		payment->status = PAYMENT_STATUS_FAILED;
		payment_insert(payment);
	}
	return order_row(order->id);
}

/*
 * An answer for an archived order, whose row it returns.  A success that is not known is money that nobody asked for,
 * and the user's affair: the order is over.
 */
static Datum
answer_archived(int64 order_id, bool succeeded, text *provider_event_id, int64 amount)
{
	Archived	archived;
	Payment		unexpected = {
		.archived_order_id = order_id, .kind = PAYMENT_KIND_PAYMENT, .method = PAYMENT_METHOD_EXTERNAL,
		.status = PAYMENT_STATUS_UNEXPECTED, .provider_event_id = provider_event_id, .tax_free_amount = TAX_FREE_UNKNOWN
	};

	if (!archive_find_order(order_id, &archived))
		raise_not_found("order", order_id);
	(void) user_lock(archived.user_id, false);
	if (!succeeded || archive_knows_success(order_id, provider_event_id))
		return archived.row;
	unexpected.user_id = archived.user_id;
	unexpected.amount = amount < 0 ? archived.payment_amount : amount;
	archive_note_success(order_id, provider_event_id);
	payment_insert(&unexpected);
	charge_write_event("PaymentUnexpected", "payment", &unexpected, NULL);
	return archived.row;
}

/*
 * confirm_payment(order_id bigint, succeeded boolean, provider_event_id text, amount bigint)
 *
 * Returns the orders row as it is after the answer.
 */
Datum
commerce_confirm_payment(PG_FUNCTION_ARGS)
{
	int64		order_id;
	bool		succeeded;
	text	   *provider_event_id;
	int64		amount;
	Payment		asked = {0};
	Payment		payment;
	Order	   *order;

	gate_enter("confirm_payment()");
	order_id = arg_int64(fcinfo, 0, "order_id");
	succeeded = arg_bool(fcinfo, 1, "succeeded");
	provider_event_id = payment_arg_event(fcinfo, 2);
	amount = payment_arg_amount(fcinfo, 3);
	order = order_lock(order_id, false);
	if (order == NULL)
		PG_RETURN_DATUM(answer_archived(order_id, succeeded, provider_event_id, amount));
	if (payment_is_known(provider_event_id, order_id, succeeded))
		PG_RETURN_DATUM(order_row(order_id));

	if (!payment_read_asked(order_id, &asked))
		asked.amount = order->totals.payment_amount;
	payment = (Payment) {
		.order_id = order_id, .user_id = order->user_id, .kind = PAYMENT_KIND_PAYMENT,
		.method = PAYMENT_METHOD_EXTERNAL, .channel = asked.channel,
		.amount = amount < 0 || !succeeded ? asked.amount : amount, .provider_event_id = provider_event_id
	};
	payment.tax_free_amount = order_tax_free_part(order, payment.method, asked.amount);
	PG_RETURN_DATUM(succeeded ? take_success(order, &payment, asked.amount) : take_failure(order, &payment));
}

/* Locks what a payment belongs to: its order, which it answers, or, of a charge, the user: NULL. */
static Order *
lock_owner(const Payment *payment)
{
	if (payment->order_id != 0)
		return order_lock(payment->order_id, false);
	(void) user_lock(payment->user_id, false);
	return NULL;
}

/* Finds a payment, locks what it belongs to, and reads it again; NULL: it is not there, or archived. */
static Payment *
lock_payment(int64 payment_id, Order **order)
{
	Payment    *payment = payment_read(payment_id);

	if (payment != NULL)
	{
		*order = lock_owner(payment);
		payment = payment_read(payment_id);
	}
	return payment;
}

/* Writes an event of a refund, of the order or of the user. */
static void
write_refund_event(Order *order, const char *type, const Payment *refund, const Actor *actor)
{
	if (order)
	{
		(void) order_save(order);
		order_write_payment_event(order, type, "refund", refund, actor);
	}
	else
		charge_write_event(type, "refund", refund, actor);
}

/*
 * return_payment(payment_id bigint, actor_id bigint, note text, idempotency_key text)
 *
 * Returns the payments row of the refund.
 */
Datum
commerce_return_payment(PG_FUNCTION_ARGS)
{
	int64		payment_id;
	Actor		actor;
	text	   *key = arg_text_or_null(fcinfo, 3, "idempotency_key");
	IdempotentCall call;
	Order	   *order;
	Payment    *payment;
	int64		refund_id;
	Datum		row;

	gate_enter("return_payment()");
	payment_id = arg_int64(fcinfo, 0, "payment_id");
	actor = actor_get_admin(fcinfo, 1);
	idempotency_init(&call, idempotency_scope("payment", payment_id), "return_payment", key, actor_canonical(&actor));
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(payment_stored(row));
	actor_require_admin(&actor);

	payment = lock_payment(payment_id, &order);
	if (payment == NULL)
		archive_raise_missing("payment", payment_id, NULL);
	if (payment->kind == PAYMENT_KIND_REFUND || payment->status != PAYMENT_STATUS_UNEXPECTED)
		raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "payment"), D_INT("id", payment_id),
					D_TEXT("from", catalog_label_name(TYPE_PAYMENT_STATUS, payment->status)),
					D_REASON(REASON_NOT_UNEXPECTED));
	refund_id = payment_find_refund(payment_id);
	if (refund_id == 0)
	{
		Payment		refund = payment_refund(payment, payment->amount, TAX_FREE_UNKNOWN);

		payment_insert(&refund);
		refund_id = refund.id;
		write_refund_event(order, "RefundRequested", &refund, &actor);
	}
	row = payment_row(refund_id);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}

/* What becomes of a refund of a payment by a provider's answer; NULL: nothing. */
static const char *
judge_refund(const Payment *refund, const Payment *paid, bool succeeded, PaymentStatus *status)
{
	if (refund->status == PAYMENT_STATUS_REQUESTED && !succeeded)
	{
		*status = PAYMENT_STATUS_FAILED;
		return "RefundFailed";
	}
	if (refund->status == PAYMENT_STATUS_REQUESTED ||
		(refund->status == PAYMENT_STATUS_FAILED && succeeded && refund->amount <= paid->left))
	{
		*status = PAYMENT_STATUS_COMPLETED;
		return "RefundCompleted";
	}
	if (refund->status == PAYMENT_STATUS_FAILED && succeeded)
	{
		*status = PAYMENT_STATUS_UNEXPECTED;
		return "RefundUnexpected";
	}
	return NULL;
}

/*
 * report_refund(payment_id bigint, succeeded boolean, provider_event_id text)
 *
 * Returns the payments row of the refund.
 */
Datum
commerce_report_refund(PG_FUNCTION_ARGS)
{
	int64		payment_id;
	bool		succeeded;
	text	   *provider_event_id;
	Order	   *order;
	Payment    *refund;
	Payment    *paid;
	PaymentStatus former;
	PaymentStatus status;
	const char *event;
	Datum		archived;

	gate_enter("report_refund()");
	payment_id = arg_int64(fcinfo, 0, "payment_id");
	succeeded = arg_bool(fcinfo, 1, "succeeded");
	provider_event_id = payment_arg_event(fcinfo, 2);
	refund = lock_payment(payment_id, &order);
	if (refund == NULL && archive_knows_refund(payment_id, succeeded, &archived))
		PG_RETURN_DATUM(archived);
	if (refund == NULL)
		archive_raise_missing("payment", payment_id, NULL);
	if (refund->kind != PAYMENT_KIND_REFUND || refund->method != PAYMENT_METHOD_EXTERNAL)
		raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "payment"), D_INT("id", payment_id),
					D_REASON(REASON_NOT_REQUESTED_REFUND));

	paid = payment_read(refund->refund_of);
	former = refund->status;
	event = judge_refund(refund, paid, succeeded, &status);
	if (event)
	{
		/* one that is done after all counts as far as what other refunds have left of either part */
		if (former == PAYMENT_STATUS_FAILED && status == PAYMENT_STATUS_COMPLETED)
			refund->tax_free_amount = payment_refund_tax_free(paid, refund->amount, refund->tax_free_amount);
		payment_set_status(refund, status, provider_event_id);
		refund->paid_event_id = paid->provider_event_id;
		if (order && paid->status == PAYMENT_STATUS_COMPLETED)
		{
			if (status == PAYMENT_STATUS_FAILED)
				order->refunded_amount -= refund->amount;
			else if (status == PAYMENT_STATUS_COMPLETED && former == PAYMENT_STATUS_FAILED)
				order->refunded_amount += refund->amount;
		}
		write_refund_event(order, event, refund, NULL);
	}
	PG_RETURN_DATUM(payment_row(payment_id));
}
