/*
 * payment.c
 *	  What payment providers answer; owns what happens to commerce.payments after an order was made.
 *
 * An order that is paid outside waits as PENDING_PAYMENT, with its stock and coupons held (hold.c).  The
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
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/spi_util.h"
#include "base/subtransaction.h"
#include "escrow/gate.h"
#include "shop/coupon.h"
#include "shop/hold.h"
#include "shop/idempotency.h"
#include "shop/order.h"

#define MAX_EVENT_ID_LENGTH	255

PG_FUNCTION_INFO_V1(commerce_confirm_payment);
PG_FUNCTION_INFO_V1(commerce_expire_pending_orders);

/* One answer of a provider at a time is worked on. */
static void
lock_provider_event(text *provider_event_id)
{
	IdempotentCall call = {0};

	call.operation = "confirm_payment";
	call.key = provider_event_id;
	idempotency_lock(&call);
}

/*
 * Whether an answer with this id has been recorded; raises IDEMPOTENCY_KEY_REUSED when it was another
 * one, for another order or to another effect.
 */
static bool
is_known(text *provider_event_id, int64 order_id, bool succeeded)
{
	static SqlStatement find = {
		"SELECT p.order_id OPERATOR(pg_catalog.=) $2 "
		"  AND (p.status OPERATOR(pg_catalog.=) 'COMPLETED') OPERATOR(pg_catalog.=) $3 "
		"FROM commerce.payments p WHERE p.provider_event_id OPERATOR(pg_catalog.=) $1",
		3, {TEXTOID, INT8OID, BOOLOID}
	};
	Datum		values[3] = {PointerGetDatum(provider_event_id), Int64GetDatum(order_id), BoolGetDatum(succeeded)};
	bool		known;

	SPI_connect();
	known = sql_execute_latest(&find, values, NULL) > 0;
	if (known && !sql_bool(0, 1))
		raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, "payment event \"%s\" was another answer",
					text_to_cstring(provider_event_id));
	SPI_finish();
	return known;
}

/* The row of an order as it is. */
static Datum
read_row(int64 order_id)
{
	static SqlStatement read = {
		"SELECT o::commerce.orders FROM commerce.orders o WHERE o.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order_id);
	Datum		row;

	SPI_connect();
	sql_execute(&read, &id, NULL);
	row = sql_transfer(0, 1);
	SPI_finish();
	return row;
}

/* Completes the payment that a pending order waits for. */
static int64
complete_requested(int64 order_id, text *provider_event_id)
{
	static SqlStatement update = {
		"UPDATE commerce.payments AS p SET status = 'COMPLETED', provider_event_id = $2, at = pg_catalog.now() "
		"WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' RETURNING p.id",
		2, {INT8OID, TEXTOID}
	};
	Datum		values[2] = {Int64GetDatum(order_id), PointerGetDatum(provider_event_id)};
	int64		id;

	SPI_connect();
	if (sql_execute(&update, values, NULL) != 1)
		elog(ERROR, "order " INT64_FORMAT " does not wait for one payment", order_id);
	id = sql_int64(0, 1);
	SPI_finish();
	return id;
}

/* Gives a locked order that holds all it needs its paid state, with rows and events. */
static Datum
enter_paid(Order *order, const Payment *payment)
{
	OrderItem **items = palloc(order->nitems * sizeof(OrderItem *));
	Datum		row;

	for (int i = 0; i < order->nitems; i++)
		items[i] = &order->items[i];
	order->paid_at = GetCurrentTransactionStartTimestamp();
	order_set_items(items, order->nitems, "PAID", &actor_system);
	if (commerce_auto_prepare)
		order_set_items(items, order->nitems, "PREPARING", &actor_system);
	row = order_save(order);
	order_write_paid(order, payment);
	return row;
}

/* Whether an order was given up by the system, by time or for a failed payment, and not by a person. */
static bool
was_given_up(const Order *order)
{
	static SqlStatement find = {
		"SELECT FROM commerce.order_items i, LATERAL (SELECT FROM commerce.order_item_events e "
		"  WHERE e.order_item_id OPERATOR(pg_catalog.=) i.id AND e.event OPERATOR(pg_catalog.=) 'CANCELLED' "
		"  AND e.actor OPERATOR(pg_catalog.<>) 'SYSTEM' LIMIT 1) e "
		"WHERE i.order_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order->id);
	bool		found;

	SPI_connect();
	found = sql_execute(&find, &id, NULL) > 0;
	SPI_finish();
	return !found;
}

/* Takes the stock of an order that was given up; false when there is too little of something. */
static bool
take_stock_again(const StockMove *moves, int n)
{
	for (int i = 0; i < n;)
	{
		int64		product_id = moves[i].product_id;
		int64		units = 0;

		for (; i < n && moves[i].product_id == product_id; i++)
			units += moves[i].units;
		if (!stock_try_take(product_id, units))
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
	OrderItem **items = palloc(order->nitems * sizeof(OrderItem *));
	Given		given = {order->id, NULL, order->nitems};

	for (int i = 0; i < order->nitems; i++)
		items[i] = &order->items[i];
	given.moves = order_stock_moves(items, order->nitems);
	return subtransaction_keep_if(take_again, &given);
}

/* A success for a cancelled order that was never paid. */
static Datum
pay_late(Order *order, text *provider_event_id)
{
	Payment		payment = {0, "PAYMENT", order->method, "COMPLETED", order->quote->payment_amount, provider_event_id};
	Payment		refund = {0, "REFUND", order->method, "REQUESTED", order->quote->payment_amount, NULL};
	Datum		row;

	if (was_given_up(order) && hold_again(order))
	{
		payment_insert(order->id, &payment);
		return enter_paid(order, &payment);
	}
	payment_insert(order->id, &payment);
	payment_insert(order->id, &refund);
	order->refunded_amount += refund.amount;
	row = order_save(order);
	order_write_payment_event(order, "RefundRequested", "refund", &refund);
	return row;
}

/* Whether an order has a completed payment. */
static bool
has_been_paid(const Order *order)
{
	static SqlStatement find = {
		"SELECT FROM commerce.payments p WHERE p.order_id OPERATOR(pg_catalog.=) $1 "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' AND p.status OPERATOR(pg_catalog.=) 'COMPLETED'",
		1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order->id);
	bool		found;

	SPI_connect();
	found = sql_execute(&find, &id, NULL) > 0;
	SPI_finish();
	return found;
}

static Datum
note_failure(const Order *order, text *provider_event_id)
{
	Payment		payment = {0, "PAYMENT", order->method, "FAILED", order->quote->payment_amount, provider_event_id};

	payment_insert(order->id, &payment);
	return read_row(order->id);
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
	if (PG_ARGISNULL(0))
		raise_error(ERROR_INVALID_REQUEST, "order_id must not be null");
	if (PG_ARGISNULL(1))
		raise_error(ERROR_INVALID_REQUEST, "succeeded must not be null");
	if (PG_ARGISNULL(2))
		raise_error(ERROR_INVALID_REQUEST, "provider_event_id must not be null");
	order_id = PG_GETARG_INT64(0);
	succeeded = PG_GETARG_BOOL(1);
	provider_event_id = PG_GETARG_TEXT_PP(2);
	if (VARSIZE_ANY_EXHDR(provider_event_id) == 0 ||
		pg_mbstrlen_with_len(VARDATA_ANY(provider_event_id), VARSIZE_ANY_EXHDR(provider_event_id)) > MAX_EVENT_ID_LENGTH)
		raise_error(ERROR_INVALID_REQUEST, "provider_event_id has 1 to %d characters", MAX_EVENT_ID_LENGTH);

	lock_provider_event(provider_event_id);
	order = order_lock(order_id, false);
	if (order == NULL)
		raise_error(ERROR_ENTITY_NOT_FOUND, "order " INT64_FORMAT, order_id);
	if (is_known(provider_event_id, order_id, succeeded))
		PG_RETURN_DATUM(read_row(order_id));
	if (order->method != PAYMENT_EXTERNAL)
		raise_error(ERROR_INVALID_STATE_TRANSITION, "order " INT64_FORMAT " is paid from the balance", order_id);

	if (strcmp(order->status, "PENDING_PAYMENT") == 0)
	{
		if (succeeded)
		{
			Payment		payment = {0, "PAYMENT", order->method, "COMPLETED", order->quote->payment_amount, NULL};

			payment.id = complete_requested(order_id, provider_event_id);
			row = enter_paid(order, &payment);
		}
		else
		{
			HoldEnd		failed = {"FAILED", "CANCEL", {"SYSTEM", 0, NULL}, provider_event_id};

			hold_end(&order, 1, &failed, &row);
		}
	}
	else if (has_been_paid(order))
		row = read_row(order_id);
	else if (!succeeded)
		row = note_failure(order, provider_event_id);
	else
		row = pay_late(order, provider_event_id);
	PG_RETURN_DATUM(row);
}

/*
 * expire_pending_orders(max_rows int)
 *
 * Cancels overdue orders and returns how many.
 */
Datum
commerce_expire_pending_orders(PG_FUNCTION_ARGS)
{
	gate_enter("expire_pending_orders()");
	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		raise_error(ERROR_INVALID_REQUEST, "max_rows must be 1 or more");
	PG_RETURN_INT32(hold_end_overdue(PG_GETARG_INT32(0)));
}
