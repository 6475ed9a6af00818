/*
 * charge.c
 *	  Charges of a balance that a provider is to pay.
 *
 * A charge is a payment that is REQUESTED until its provider answers or its time is over.  The first success with
 * the right amount, in time or late, credits the balance; all others are money that nobody asked for, UNEXPECTED
 * payments that name the charge.
 *
 * Lock order: gate, idempotency key, user's row.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/sweep.h"
#include "escrow/gate.h"
#include "events/outbox.h"
#include "shop/balance.h"
#include "shop/charge.h"
#include "shop/idempotency.h"
#include "shop/user.h"

PG_FUNCTION_INFO_V1(commerce_confirm_charge);
PG_FUNCTION_INFO_V1(commerce_request_charge);

void
charge_write_event(const char *type, const char *member, const Payment *payment, const Actor *actor)
{
	Event		event = {"User", outbox_id(payment->user_id), type};
	JsonWriter	json = {0};

	json_open_object(&json, NULL);
	json_put_int(&json, "user_id", payment->user_id);
	payment_put(&json, member, payment);
	if (actor)
		actor_put(&json, actor);
	json_close_object(&json);
	event.payload = json_finish(&json);
	event.key = user_move_event_key(payment->user_id);
	outbox_write(&event, 1);
}

static void
end_charge(Payment *charge, PaymentStatus status, text *provider_event_id)
{
	payment_set_status(charge, status, provider_event_id);
	charge_write_event("ChargeFailed", "payment", charge, NULL);
}

/* Passes over charges of users that somebody has locked, and those that were answered meanwhile. */
static int
end_overdue(const int64 *ids, int n)
{
	int			ended = 0;

	for (int i = 0; i < n; i++)
	{
		Payment    *charge = payment_read(ids[i]);

		if (!user_lock(charge->user_id, true))
			continue;
		charge = payment_read(ids[i]);
		if (charge->status != PAYMENT_STATUS_REQUESTED)
			continue;
		end_charge(charge, PAYMENT_STATUS_EXPIRED, NULL);
		ended++;
	}
	return ended;
}

int
charge_end_overdue(int max_rows)
{
	static const Sweep end = {"overdue charge", "ended", payment_find_overdue_charges, end_overdue, NULL};

	return sweep(&end, max_rows);
}

void
charge_end_of_user(int64 user_id)
{
	int			n;
	int64	   *ids = payment_find_requested_charges(user_id, &n);

	for (int i = 0; i < n; i++)
		end_charge(payment_read(ids[i]), PAYMENT_STATUS_EXPIRED, NULL);
}

/* Whether two texts, either of which may be missing, are the same. */
static bool
same_text(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(text_to_cstring(a), text_to_cstring(b)) == 0;
}

/*
 * The payment that a call with the same key has made, whose row is *row; false: there is none.  For a day the key
 * tells all that was asked for, and after that the payment does.
 */
static bool
find_requested(IdempotentCall *call, const Payment *asked, Datum *row)
{
	Payment    *charge;

	if (call->key == NULL)
		return false;
	if (idempotency_begin(call, row))
	{
		*row = payment_stored(*row);
		return true;
	}
	charge = payment_find_charge(asked->user_id, call->key);
	if (charge == NULL)
		return false;
	if (charge->amount != asked->amount || !same_text(charge->channel, asked->channel))
		raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, D_TEXT("key", text_to_cstring(call->key)));
	*row = payment_row(charge->id);
	idempotency_set_replayed(true);
	return true;
}

/*
 * request_charge(user_id bigint, amount bigint, payment_channel text, pay_within interval, idempotency_key text)
 *
 * Returns the payments row.
 */
Datum
commerce_request_charge(PG_FUNCTION_ARGS)
{
	Payment		charge = {.kind = PAYMENT_KIND_CHARGE, .method = PAYMENT_METHOD_EXTERNAL, .status = PAYMENT_STATUS_REQUESTED};
	Interval   *pay_within = PG_ARGISNULL(3) ? NULL : PG_GETARG_INTERVAL_P(3);
	IdempotentCall call;
	Datum		row;

	gate_enter("request_charge()");
	charge.user_id = arg_int64(fcinfo, 0, "user_id");
	charge.amount = balance_arg_charge(fcinfo, 1);
	charge.channel = arg_text_or_null(fcinfo, 2, "payment_channel");
	charge.expires_at = GetCurrentTransactionStartTimestamp() + payment_time(charge.channel, pay_within);
	charge.idempotency_key = arg_text_or_null(fcinfo, 4, "idempotency_key");
	charge.tax_free_amount = TAX_FREE_UNKNOWN;
	idempotency_init(&call, idempotency_scope("user", charge.user_id), "request_charge", charge.idempotency_key,
					 psprintf(INT64_FORMAT " %s %s", charge.amount,
							  pay_within ? DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(pay_within))) : "-",
							  charge.channel ? text_to_cstring(charge.channel) : ""));
	if (find_requested(&call, &charge, &row))
		PG_RETURN_DATUM(row);

	user_require_active(charge.user_id, true);
	if (payment_count_requested_charges(charge.user_id) >= commerce_max_pending_orders)
		raise_error(ERROR_PENDING_LIMIT_EXCEEDED, D_INT("user_id", charge.user_id),
					D_INT("limit", commerce_max_pending_orders));
	payment_insert(&charge);
	charge_write_event("ChargeRequested", "payment", &charge, NULL);
	row = payment_row(charge.id);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}

/* A success: credits the balance, or keeps what was not asked for. */
static void
take_success(Payment *charge, int64 amount, text *provider_event_id)
{
	BalanceChange change;

	if (amount == charge->amount && charge->status != PAYMENT_STATUS_COMPLETED &&
		balance_charge(charge->user_id, amount, charge->id, NULL, &change))
		payment_set_status(charge, PAYMENT_STATUS_COMPLETED, provider_event_id);
	else
	{
		Payment		unexpected = {
			.user_id = charge->user_id, .kind = PAYMENT_KIND_CHARGE, .method = PAYMENT_METHOD_EXTERNAL,
			.status = PAYMENT_STATUS_UNEXPECTED, .amount = amount, .channel = charge->channel,
			.provider_event_id = provider_event_id, .charge_id = charge->id, .tax_free_amount = TAX_FREE_UNKNOWN
		};

		payment_insert(&unexpected);
		charge_write_event("PaymentUnexpected", "payment", &unexpected, NULL);
	}
}

/*
 * confirm_charge(payment_id bigint, succeeded boolean, provider_event_id text, amount bigint)
 *
 * Returns the payments row of the charge.
 */
Datum
commerce_confirm_charge(PG_FUNCTION_ARGS)
{
	int64		payment_id;
	bool		succeeded;
	text	   *provider_event_id;
	int64		amount;
	Payment    *charge;

	gate_enter("confirm_charge()");
	payment_id = arg_int64(fcinfo, 0, "payment_id");
	succeeded = arg_bool(fcinfo, 1, "succeeded");
	provider_event_id = payment_arg_event(fcinfo, 2);
	amount = payment_arg_amount(fcinfo, 3);
	charge = payment_read(payment_id);
	if (charge == NULL || charge->kind != PAYMENT_KIND_CHARGE || charge->charge_id != 0)
		raise_not_found("payment", payment_id);
	(void) user_lock(charge->user_id, false);
	charge = payment_read(payment_id);

	if (payment_is_known_of_charge(provider_event_id, payment_id, succeeded))
		PG_RETURN_DATUM(payment_row(payment_id));
	if (succeeded)
		take_success(charge, amount < 0 ? charge->amount : amount, provider_event_id);
	else if (charge->status == PAYMENT_STATUS_REQUESTED)
		end_charge(charge, PAYMENT_STATUS_FAILED, provider_event_id);
	PG_RETURN_DATUM(payment_row(payment_id));
}
