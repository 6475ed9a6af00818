/*
 * payment.c
 *	  Payments; owns commerce.payments.
 *
 * An order has one payment that is REQUESTED while it waits to be paid.  A paid one has at most one COMPLETED payment
 * of each method, together what it costs.  A refund names the payment that it goes back to, and what goes back to a
 * payment is at most its amount; nor is its tax-free part, or its taxed one, above that of the payment.
 *
 * A payment of an order is read and changed under the lock of the order's row; one of a charge, and its refund, under
 * the lock of the user's.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/currency.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "base/sweep.h"
#include "shop/payment.h"

#define MAX_AMOUNT	INT64CONST(1000000000000)

/* What is read of a payment, with what is not refunded of it. */
#define READ_PAYMENT \
	"SELECT p.id, p.order_id, p.user_id, p.kind, p.method, p.status, p.amount, p.provider_event_id, p.channel, " \
	"p.expires_at, p.refund_of, p.charge_id, p.tax_free_amount, p.archived_order_id, " \
	"p.amount OPERATOR(pg_catalog.-) r.amount AS left, p.tax_free_amount OPERATOR(pg_catalog.-) r.tax_free AS tax_free_left " \
	"FROM commerce.payments p CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.sum(r.amount), 0)::pg_catalog.int8 AS amount, " \
	"  coalesce(pg_catalog.sum(r.tax_free_amount), 0)::pg_catalog.int8 AS tax_free FROM commerce.payments r " \
	"  WHERE r.refund_of OPERATOR(pg_catalog.=) p.id AND r.status IN ('REQUESTED', 'COMPLETED')) r "

void
payment_insert(Payment *payment)
{
	Row			row = {0};

	if (payment->id == 0)
		payment->id = catalog_nextval(SEQUENCE_PAYMENTS_ID);
	row_put_int64(&row, PAYMENTS_ID, payment->id);
	row_put_id(&row, PAYMENTS_ORDER_ID, payment->order_id);
	row_put_int64(&row, PAYMENTS_USER_ID, payment->user_id);
	row_put_label(&row, PAYMENTS_KIND, TYPE_PAYMENT_KIND, payment->kind);
	row_put_label(&row, PAYMENTS_METHOD, TYPE_PAYMENT_METHOD, payment->method);
	row_put_label(&row, PAYMENTS_STATUS, TYPE_PAYMENT_STATUS, payment->status);
	row_put_int64(&row, PAYMENTS_AMOUNT, payment->amount);
	row_put_varlena(&row, PAYMENTS_PROVIDER_EVENT_ID, payment->provider_event_id);
	row_put_time(&row, PAYMENTS_AT, GetCurrentTransactionStartTimestamp());
	row_put_varlena(&row, PAYMENTS_CHANNEL, payment->channel);
	row_put_time(&row, PAYMENTS_EXPIRES_AT, payment->expires_at);
	row_put_id(&row, PAYMENTS_REFUND_OF, payment->refund_of);
	row_put_id(&row, PAYMENTS_CHARGE_ID, payment->charge_id);
	row_put_id(&row, PAYMENTS_ARCHIVED_ORDER_ID, payment->archived_order_id);
	row_put_varlena(&row, PAYMENTS_IDEMPOTENCY_KEY, payment->idempotency_key);
	if (payment->tax_free_amount != TAX_FREE_UNKNOWN)
		row_put_int64(&row, PAYMENTS_TAX_FREE_AMOUNT, payment->tax_free_amount);
	row_insert(TABLE_PAYMENTS, PAYMENTS_COLUMNS, &row);
}

/* A text of a row; NULL for null. */
static text *
result_text_value(SqlResult *row, const char *column)
{
	char	   *value = result_text(row, column);

	return value ? cstring_to_text(value) : NULL;
}

static int64
result_tax_free(SqlResult *row)
{
	return result_is_null(row, "tax_free_amount") ? TAX_FREE_UNKNOWN : result_int64(row, "tax_free_amount");
}

static Payment
read_row(SqlResult *row)
{
	Payment		payment = {0};

	payment.id = result_int64(row, "id");
	payment.order_id = result_int64(row, "order_id");
	payment.user_id = result_int64(row, "user_id");
	payment.kind = result_label(row, "kind", TYPE_PAYMENT_KIND);
	payment.method = result_label(row, "method", TYPE_PAYMENT_METHOD);
	payment.status = result_label(row, "status", TYPE_PAYMENT_STATUS);
	payment.amount = result_int64(row, "amount");
	payment.provider_event_id = result_text_value(row, "provider_event_id");
	payment.channel = result_text_value(row, "channel");
	payment.expires_at = result_time(row, "expires_at");
	payment.refund_of = result_int64(row, "refund_of");
	payment.charge_id = result_int64(row, "charge_id");
	payment.tax_free_amount = result_tax_free(row);
	payment.archived_order_id = result_int64(row, "archived_order_id");
	payment.left = result_int64(row, "left");
	payment.tax_free_left = result_int64(row, "tax_free_left");
	return payment;
}

Payment *
payment_read(int64 id)
{
	static SqlStatement read = {
		READ_PAYMENT "WHERE p.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, SQL_LATEST
	};
	SqlResult	row = sql_query(&read, SQL_ARGS(Int64GetDatum(id)));
	Payment    *payment;

	if (!result_next(&row))
		return NULL;
	payment = palloc(sizeof(Payment));
	*payment = read_row(&row);
	return payment;
}

Payment *
payments_read_completed(int64 order_id, int *n)
{
	static SqlStatement read = {
		READ_PAYMENT "WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' "
		"AND p.status OPERATOR(pg_catalog.=) 'COMPLETED' ORDER BY p.method OPERATOR(pg_catalog.=) 'BALANCE'",
		1, {INT8OID}
	};
	SqlResult	rows = sql_query(&read, SQL_ARGS(Int64GetDatum(order_id)));
	Payment    *payments = palloc(rows.n * sizeof(Payment));

	*n = (int) rows.n;
	for (int i = 0; result_next(&rows); i++)
		payments[i] = read_row(&rows);
	return payments;
}

Datum
payment_row(int64 id)
{
	static SqlStatement read = {
		"SELECT p::commerce.payments FROM commerce.payments p WHERE p.id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}, SQL_LATEST
	};

	return sql_get_row(&read, SQL_ARGS(Int64GetDatum(id)));
}

Datum
payment_stored(Datum stored)
{
	static SqlStatement populate = {
		"SELECT r FROM pg_catalog.jsonb_populate_record(NULL::commerce.payments, $1) AS r", 1, {JSONBOID}
	};

	return sql_get_row(&populate, &stored);
}

void
payment_set_status(Payment *payment, PaymentStatus status, text *provider_event_id)
{
	static SqlStatement update = {
		"UPDATE commerce.payments AS p SET status = ($2::pg_catalog.text)::commerce.payment_status, "
		"provider_event_id = coalesce($3, p.provider_event_id), at = pg_catalog.now(), "
		"requested_at = coalesce(p.requested_at, p.at), tax_free_amount = $4, "
		"failed_at = CASE WHEN p.kind OPERATOR(pg_catalog.=) 'REFUND' AND $2 OPERATOR(pg_catalog.=) 'FAILED' "
		"THEN pg_catalog.now() ELSE p.failed_at END "
		"WHERE p.id OPERATOR(pg_catalog.=) $1",
		4, {INT8OID, TEXTOID, TEXTOID, INT8OID}
	};
	char		nulls[] = "    ";

	if (provider_event_id == NULL)
		nulls[2] = 'n';
	if (payment->tax_free_amount == TAX_FREE_UNKNOWN)
		nulls[3] = 'n';
	(void) sql_query_with_nulls(&update, SQL_ARGS(Int64GetDatum(payment->id),
												  catalog_label_text(TYPE_PAYMENT_STATUS, status),
												  PointerGetDatum(provider_event_id),
												  Int64GetDatum(payment->tax_free_amount)), nulls);
	payment->status = status;
	if (provider_event_id)
		payment->provider_event_id = provider_event_id;
}

int64
payment_find_refund(int64 payment_id)
{
	static SqlStatement find = {
		"SELECT r.id FROM commerce.payments r WHERE r.refund_of OPERATOR(pg_catalog.=) $1 "
		"AND r.status IN ('REQUESTED', 'COMPLETED')",
		1, {INT8OID}, SQL_LATEST
	};
	int64		id = 0;

	(void) sql_get_int64(&find, SQL_ARGS(Int64GetDatum(payment_id)), &id);
	return id;
}

int64
payment_refund_tax_free(const Payment *payment, int64 amount, int64 wanted)
{
	int64		taxed_left = payment->left - payment->tax_free_left;

	if (payment->tax_free_amount == TAX_FREE_UNKNOWN)
		return TAX_FREE_UNKNOWN;
	return Max(Max(amount - taxed_left, 0), Min(wanted, Min(amount, payment->tax_free_left)));
}

Payment
payment_refund(const Payment *payment, int64 amount, int64 tax_free_amount)
{
	return (Payment) {
		.order_id = payment->order_id, .archived_order_id = payment->archived_order_id,
		.user_id = payment->user_id, .kind = PAYMENT_KIND_REFUND,
		.method = payment->method, .amount = amount, .channel = payment->channel,
		.status = payment->method == PAYMENT_METHOD_BALANCE ? PAYMENT_STATUS_COMPLETED : PAYMENT_STATUS_REQUESTED,
		.tax_free_amount = payment_refund_tax_free(payment, amount, tax_free_amount),
		.refund_of = payment->id, .paid_event_id = payment->provider_event_id
	};
}

static void
put_text(JsonWriter *json, const char *key, const text *value)
{
	json_put_text(json, key, value ? text_to_cstring(value) : NULL);
}

void
payment_put(JsonWriter *json, const char *member, const Payment *payment)
{
	json_open_object(json, member);
	json_put_int(json, "id", payment->id);
	json_put_text(json, "method", catalog_label_name(TYPE_PAYMENT_METHOD, payment->method));
	json_put_text(json, "status", catalog_label_name(TYPE_PAYMENT_STATUS, payment->status));
	json_put_int(json, "amount", payment->amount);
	json_put_text(json, "currency", commerce_currency);
	json_put_int(json, "decimals", currency_decimals());
	if (payment->tax_free_amount != TAX_FREE_UNKNOWN)
		json_put_int(json, "tax_free_amount", payment->tax_free_amount);
	put_text(json, "channel", payment->channel);

	/* whom a refund is asked of knows the payment, and not the refund */
	put_text(json, "provider_event_id",
			 payment->kind == PAYMENT_KIND_REFUND ? payment->paid_event_id : payment->provider_event_id);
	json_put_id(json, "refund_of", payment->refund_of);
	json_put_id(json, "charge_id", payment->charge_id);
	if (payment->archived_order_id != 0)
		json_put_int(json, "archived_order_id", payment->archived_order_id);
	if (payment->kind == PAYMENT_KIND_CHARGE)
		json_put_time(json, "expires_at", payment->expires_at);
	json_close_object(json);
}

text *
payment_arg_event(FunctionCallInfo fcinfo, int i)
{
	text	   *provider_event_id = arg_text(fcinfo, i, "provider_event_id");

	if (VARSIZE_ANY_EXHDR(provider_event_id) == 0)
		raise_invalid("provider_event_id", "must not be empty");
	return provider_event_id;
}

int64
payment_arg_amount(FunctionCallInfo fcinfo, int i)
{
	int64		amount;

	if (PG_ARGISNULL(i))
		return -1;
	amount = PG_GETARG_INT64(i);
	if (amount < 0 || amount > MAX_AMOUNT)
		raise_invalid("amount", "must be 0 to " INT64_FORMAT, MAX_AMOUNT);
	return amount;
}

bool
payment_is_known(text *provider_event_id, int64 order_id, bool succeeded)
{
	static SqlStatement find = {
		"SELECT FROM commerce.payments p WHERE p.order_id OPERATOR(pg_catalog.=) $1 "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' AND p.provider_event_id OPERATOR(pg_catalog.=) $2 "
		"AND (p.status OPERATOR(pg_catalog.=) 'FAILED') OPERATOR(pg_catalog.<>) $3",
		3, {INT8OID, TEXTOID, BOOLOID}, SQL_LATEST
	};

	return sql_exists(&find, SQL_ARGS(Int64GetDatum(order_id), PointerGetDatum(provider_event_id), BoolGetDatum(succeeded)));
}

bool
payment_is_known_of_charge(text *provider_event_id, int64 charge_id, bool succeeded)
{
	static SqlStatement find = {
		"SELECT FROM commerce.payments p WHERE coalesce(p.charge_id, p.id) OPERATOR(pg_catalog.=) $1 "
		"AND p.kind OPERATOR(pg_catalog.=) 'CHARGE' AND p.provider_event_id OPERATOR(pg_catalog.=) $2 "
		"AND (p.status OPERATOR(pg_catalog.=) 'FAILED') OPERATOR(pg_catalog.<>) $3",
		3, {INT8OID, TEXTOID, BOOLOID}, SQL_LATEST
	};

	return sql_exists(&find, SQL_ARGS(Int64GetDatum(charge_id), PointerGetDatum(provider_event_id), BoolGetDatum(succeeded)));
}

Payment *
payment_find_charge(int64 user_id, text *key)
{
	static SqlStatement find = {
		"SELECT p.id FROM commerce.payments p WHERE p.user_id OPERATOR(pg_catalog.=) $1 "
		"AND p.idempotency_key OPERATOR(pg_catalog.=) $2",
		2, {INT8OID, TEXTOID}, SQL_LATEST
	};
	int64		id;

	if (!sql_get_int64(&find, SQL_ARGS(Int64GetDatum(user_id), PointerGetDatum(key)), &id))
		return NULL;
	return payment_read(id);
}

int64
payment_count_requested_charges(int64 user_id)
{
	static SqlStatement count = {
		"SELECT pg_catalog.count(*) FROM commerce.payments p WHERE p.user_id OPERATOR(pg_catalog.=) $1 "
		"AND p.order_id IS NULL AND p.kind OPERATOR(pg_catalog.=) 'CHARGE' "
		"AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' "
		"AND p.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
		1, {INT8OID}, SQL_LATEST
	};
	int64		n = 0;

	(void) sql_get_int64(&count, SQL_ARGS(Int64GetDatum(user_id)), &n);
	return n;
}

int64 *
payment_find_requested_charges(int64 user_id, int *n)
{
	static SqlStatement find = {
		"SELECT p.id FROM commerce.payments p WHERE p.user_id OPERATOR(pg_catalog.=) $1 "
		"AND p.order_id IS NULL AND p.kind OPERATOR(pg_catalog.=) 'CHARGE' "
		"AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' ORDER BY p.id",
		1, {INT8OID}, SQL_LATEST
	};

	return sql_ids(&find, SQL_ARGS(Int64GetDatum(user_id)), n);
}

int64 *
payment_find_overdue_charges(int64 max, int64 skipped, int *n)
{
	static SqlStatement find = {
		SWEEP_DUE("SELECT p.id, p.expires_at AS at FROM commerce.payments p "
				  "WHERE p.kind OPERATOR(pg_catalog.=) 'CHARGE' AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' "
				  "AND p.expires_at OPERATOR(pg_catalog.<=) $3"),
		3, {INT8OID, INT8OID, TIMESTAMPTZOID}
	};

	return sql_ids(&find, SQL_ARGS(Int64GetDatum(max), Int64GetDatum(skipped),
								   TimestampTzGetDatum(GetCurrentTimestamp())), n);
}

bool
payment_read_asked(int64 order_id, Payment *asked)
{
	static SqlStatement read = {
		READ_PAYMENT "WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' "
		"AND p.method OPERATOR(pg_catalog.=) 'EXTERNAL' AND p.status OPERATOR(pg_catalog.<>) 'UNEXPECTED' LIMIT 1",
		1, {INT8OID}
	};
	SqlResult	row = sql_query(&read, SQL_ARGS(Int64GetDatum(order_id)));

	if (!result_next(&row))
		return false;
	*asked = read_row(&row);
	return true;
}

void
payment_end_requested(Payment *payment, PaymentStatus status, text *provider_event_id)
{
	static SqlStatement update = {
		"UPDATE commerce.payments AS p SET status = ($2::pg_catalog.text)::commerce.payment_status, "
		"provider_event_id = $3, at = pg_catalog.now() "
		"WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' RETURNING p.id, p.amount, p.channel, "
		"p.tax_free_amount",
		3, {INT8OID, TEXTOID, TEXTOID}
	};
	SqlResult	ended = sql_query_with_nulls(&update, SQL_ARGS(Int64GetDatum(payment->order_id),
															   catalog_label_text(TYPE_PAYMENT_STATUS, status),
															   PointerGetDatum(provider_event_id)),
											 provider_event_id ? NULL : "  n");

	if (ended.n != 1 || !result_next(&ended))
		elog(ERROR, "order " INT64_FORMAT " does not wait for one payment", payment->order_id);
	payment->id = result_int64(&ended, "id");
	payment->amount = result_int64(&ended, "amount");
	payment->channel = result_text_value(&ended, "channel");
	payment->tax_free_amount = result_tax_free(&ended);
	payment->status = status;
	payment->provider_event_id = provider_event_id;
}

int64
payment_end_balance_part(int64 order_id, PaymentStatus status)
{
	static SqlStatement update = {
		"UPDATE commerce.payments AS p SET status = ($2::pg_catalog.text)::commerce.payment_status, at = pg_catalog.now() "
		"WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' "
		"AND p.method OPERATOR(pg_catalog.=) 'BALANCE' AND p.status OPERATOR(pg_catalog.=) 'COMPLETED' RETURNING p.amount",
		2, {INT8OID, TEXTOID}
	};
	int64		amount = 0;

	(void) sql_get_int64(&update, SQL_ARGS(Int64GetDatum(order_id), catalog_label_text(TYPE_PAYMENT_STATUS, status)), &amount);
	return amount;
}

/* Whether an interval is less than some centuries: it can be added to a time, and is longer than any setting else. */
static bool
can_be_added(const Interval *span)
{
	return span->month / 1200 == 0 && span->day / 36525 == 0 && span->time / USECS_PER_DAY / 36525 == 0;
}

int64
payment_time(text *channel, Interval *pay_within)
{
	int64		seconds = commerce_payment_ttl;

	if (channel && !guc_channel_ttl(text_to_cstring(channel), &seconds))
		raise_invalid("payment_channel", "must be one of commerce.payment_ttls");
	if (pay_within)
	{
		TimestampTz now = GetCurrentTransactionStartTimestamp();
		TimestampTz until = now;

		if (can_be_added(pay_within))
			until = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
															IntervalPGetDatum(pay_within)));
		if (until <= now || until - now > (int64) commerce_payment_ttl_max * USECS_PER_SEC)
			raise_invalid("pay_within", "must be more than 0, and at most commerce.payment_ttl_max, %d seconds",
						  commerce_payment_ttl_max);
		return until - now;
	}
	return seconds * USECS_PER_SEC;
}

bool
payment_is_completed(int64 order_id)
{
	static SqlStatement find = {
		"SELECT FROM commerce.payments p WHERE p.order_id OPERATOR(pg_catalog.=) $1 "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' AND p.status OPERATOR(pg_catalog.=) 'COMPLETED'",
		1, {INT8OID}
	};

	return sql_exists(&find, SQL_ARGS(Int64GetDatum(order_id)));
}
