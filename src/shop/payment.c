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

#define PAYMENT_COLUMNS	8
#define MAX_EVENT_ID_LENGTH	255

const char *const payment_method_labels[] = {
	[PAYMENT_BALANCE] = "BALANCE",
	[PAYMENT_EXTERNAL] = "EXTERNAL",
};

PaymentMethod
payment_method_of(Datum value)
{
	char	   *label = DatumGetCString(DirectFunctionCall1(enum_out, value));

	return strcmp(label, payment_method_labels[PAYMENT_EXTERNAL]) == 0 ? PAYMENT_EXTERNAL : PAYMENT_BALANCE;
}

void
payment_insert(int64 order_id, Payment *payment)
{
	Datum		values[PAYMENT_COLUMNS] = {0};
	bool		nulls[PAYMENT_COLUMNS] = {false};

	if (payment->id == 0)
		payment->id = commerce_nextval("payments_id_seq");
	values[0] = Int64GetDatum(payment->id);
	values[1] = Int64GetDatum(order_id);
	values[2] = ObjectIdGetDatum(commerce_enum_value("payment_kind", payment->kind));
	values[3] = ObjectIdGetDatum(commerce_enum_value("payment_method", payment_method_labels[payment->method]));
	values[4] = ObjectIdGetDatum(commerce_enum_value("payment_status", payment->status));
	values[5] = Int64GetDatum(payment->amount);
	values[6] = PointerGetDatum(payment->provider_event_id);
	nulls[6] = (payment->provider_event_id == NULL);
	values[7] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	row_insert("payments", PAYMENT_COLUMNS, values, nulls);
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
		"  AND (p.status OPERATOR(pg_catalog.=) 'COMPLETED') OPERATOR(pg_catalog.=) $3 "
		"FROM commerce.payments p WHERE p.provider_event_id OPERATOR(pg_catalog.=) $1",
		3, {TEXTOID, INT8OID, BOOLOID}
	};
	Datum		values[3] = {PointerGetDatum(provider_event_id), Int64GetDatum(order_id), BoolGetDatum(succeeded)};
	bool		known;

	SPI_connect();
	known = sql_execute_latest(&find, values, NULL) > 0;
	if (known && !sql_bool(0, 1))
		raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, D_TEXT("key", text_to_cstring(provider_event_id)));
	SPI_finish();
	return known;
}

int64
payment_end_requested(int64 order_id, const char *status, text *provider_event_id)
{
	static SqlStatement update = {
		"UPDATE commerce.payments AS p SET status = ($2::pg_catalog.text)::commerce.payment_status, "
		"provider_event_id = $3, at = pg_catalog.now() "
		"WHERE p.order_id OPERATOR(pg_catalog.=) $1 AND p.status OPERATOR(pg_catalog.=) 'REQUESTED' "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' RETURNING p.id",
		3, {INT8OID, TEXTOID, TEXTOID}
	};
	Datum		values[3];
	int64		id;

	values[0] = Int64GetDatum(order_id);
	values[1] = CStringGetTextDatum(status);
	values[2] = PointerGetDatum(provider_event_id);
	SPI_connect();
	if (sql_execute(&update, values, provider_event_id ? NULL : "  n") != 1)
		elog(ERROR, "order " INT64_FORMAT " does not wait for one payment", order_id);
	id = sql_int64(0, 1);
	SPI_finish();
	return id;
}

bool
payment_is_completed(int64 order_id)
{
	static SqlStatement find = {
		"SELECT FROM commerce.payments p WHERE p.order_id OPERATOR(pg_catalog.=) $1 "
		"AND p.kind OPERATOR(pg_catalog.=) 'PAYMENT' AND p.status OPERATOR(pg_catalog.=) 'COMPLETED'",
		1, {INT8OID}
	};
	Datum		id = Int64GetDatum(order_id);
	bool		found;

	SPI_connect();
	found = sql_execute(&find, &id, NULL) > 0;
	SPI_finish();
	return found;
}
