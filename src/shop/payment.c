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
#include "base/row_writer.h"
#include "base/sql.h"
#include "shop/idempotency.h"
#include "shop/payment.h"

#define MAX_EVENT_ID_LENGTH	255

void
payment_insert(int64 order_id, Payment *payment)
{
	Row			row = {0};

	if (payment->id == 0)
		payment->id = catalog_nextval(SEQUENCE_PAYMENTS_ID);
	row_put_int64(&row, PAYMENTS_ID, payment->id);
	row_put_int64(&row, PAYMENTS_ORDER_ID, order_id);
	row_put_label(&row, PAYMENTS_KIND, TYPE_PAYMENT_KIND, payment->kind);
	row_put_label(&row, PAYMENTS_METHOD, TYPE_PAYMENT_METHOD, payment->method);
	row_put_label(&row, PAYMENTS_STATUS, TYPE_PAYMENT_STATUS, payment->status);
	row_put_int64(&row, PAYMENTS_AMOUNT, payment->amount);
	row_put_varlena(&row, PAYMENTS_PROVIDER_EVENT_ID, payment->provider_event_id);
	row_put_time(&row, PAYMENTS_AT, GetCurrentTransactionStartTimestamp());
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
		"SELECT p.order_id OPERATOR(pg_catalog.=) $2 "
		"  AND (p.status OPERATOR(pg_catalog.=) 'COMPLETED') OPERATOR(pg_catalog.=) $3 AS same "
		"FROM commerce.payments p WHERE p.provider_event_id OPERATOR(pg_catalog.=) $1",
		3, {TEXTOID, INT8OID, BOOLOID}, SQL_LATEST
	};
	SqlResult	known = sql_query(&find, SQL_ARGS(PointerGetDatum(provider_event_id), Int64GetDatum(order_id),
												  BoolGetDatum(succeeded)));

	if (!result_next(&known))
		return false;
	if (!result_bool(&known, "same"))
		raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, D_TEXT("key", text_to_cstring(provider_event_id)));
	return true;
}

int64
payment_end_requested(int64 order_id, PaymentStatus status, text *provider_event_id)
{
	static SqlStatement update = {
		"UPDATE commerce.payments AS p SET status = ($2::pg_catalog.text)::commerce.payment_status, "
		"provider_event_id = $3, at = pg_catalog.now() "
		"WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' RETURNING p.id",
		3, {INT8OID, TEXTOID, TEXTOID}
	};
	SqlResult	ended = sql_query_with_nulls(&update, SQL_ARGS(Int64GetDatum(order_id),
															   catalog_label_text(TYPE_PAYMENT_STATUS, status),
															   PointerGetDatum(provider_event_id)),
											 provider_event_id ? NULL : "  n");

	if (ended.n != 1 || !result_next(&ended))
		elog(ERROR, "order " INT64_FORMAT " does not wait for one payment", order_id);
	return result_int64(&ended, "id");
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
