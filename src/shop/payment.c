/*
 * payment.c
 *	  Payments; owns commerce.payments.
 *
 * An order has one payment that is REQUESTED while it waits to be paid.  A provider's answer is known by its
 * event's id, whose lock comes in the place of an idempotency key.
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
#include "base/row_writer.h"
#include "base/sql.h"
#include "shop/idempotency.h"
#include "shop/payment.h"

#define MAX_EVENT_ID_LENGTH	255

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
	row_insert(TABLE_PAYMENTS, PAYMENTS_COLUMNS, &row);
}

void
payment_lock_event(text *provider_event_id)
{
	IdempotentCall call = {.scope = "payment"};

	if (VARSIZE_ANY_EXHDR(provider_event_id) == 0 ||
		pg_mbstrlen_with_len(VARDATA_ANY(provider_event_id), VARSIZE_ANY_EXHDR(provider_event_id)) > MAX_EVENT_ID_LENGTH)
		raise_invalid("provider_event_id", "has 1 to %d characters", MAX_EVENT_ID_LENGTH);

	call.operation = "confirm_payment";
	call.key = provider_event_id;
	idempotency_lock(&call);
}

bool
payment_is_known(text *provider_event_id, int64 order_id, bool succeeded)
{
	static SqlStatement find = {
		"SELECT FROM commerce.payments p WHERE p.order_id OPERATOR(pg_catalog.=) $1 "
		"AND p.provider_event_id OPERATOR(pg_catalog.=) $2 "
		"AND (p.status OPERATOR(pg_catalog.=) 'FAILED') OPERATOR(pg_catalog.<>) $3",
		3, {INT8OID, TEXTOID, BOOLOID}, SQL_LATEST
	};

	return sql_exists(&find, SQL_ARGS(Int64GetDatum(order_id), PointerGetDatum(provider_event_id), BoolGetDatum(succeeded)));
}

int64
payment_end_requested(int64 order_id, PaymentStatus status, text *provider_event_id, int64 *amount)
{
	static SqlStatement update = {
		"UPDATE commerce.payments AS p SET status = ($2::pg_catalog.text)::commerce.payment_status, "
		"provider_event_id = $3, at = pg_catalog.now() "
		"WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' RETURNING p.id, p.amount",
		3, {INT8OID, TEXTOID, TEXTOID}
	};
	SqlResult	ended = sql_query_with_nulls(&update, SQL_ARGS(Int64GetDatum(order_id),
															   catalog_label_text(TYPE_PAYMENT_STATUS, status),
															   PointerGetDatum(provider_event_id)),
											 provider_event_id ? NULL : "  n");

	if (ended.n != 1 || !result_next(&ended))
		elog(ERROR, "order " INT64_FORMAT " does not wait for one payment", order_id);
	*amount = result_int64(&ended, "amount");
	return result_int64(&ended, "id");
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

int64
payment_time(text *channel, Interval *pay_within)
{
	int64		seconds = commerce_payment_ttl;

	if (channel && !guc_channel_ttl(text_to_cstring(channel), &seconds))
		raise_invalid("payment_channel", "must be one of commerce.payment_ttls");
	if (pay_within)
	{
		TimestampTz now = GetCurrentTransactionStartTimestamp();
		TimestampTz until = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
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
