/*
 * balance.c
 *	  Users' prepaid balances; owns commerce.balance_entries and the column users.balance.
 *
 * A balance is a column of its user's row; each change is an append-only balance_entries row with the
 * balance after it, numbered by the statement that changes the balance.
 *
 * Lock order: one user's row, after the gate and the idempotency key, before coupons and products.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/json_writer.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "events/outbox.h"
#include "shop/balance.h"
#include "shop/idempotency.h"
#include "shop/user.h"

#define MAX_CHARGE		INT64CONST(100000000)	/* exclusive */
#define CHARGE_UNIT		100

PG_FUNCTION_INFO_V1(commerce_charge_balance);

/* Draws the number of an entry; an amount of 0 has none. */
#define NEXT_ENTRY	"last_entry = CASE $2 WHEN 0 THEN u.last_entry ELSE u.last_entry OPERATOR(pg_catalog.+) 1 END"

static BalanceChange
change_of(SqlResult *result)
{
	BalanceChange change;

	change.balance = result_int64(result, "balance");
	change.number = result_int64(result, "last_entry");
	return change;
}

bool
balance_take(int64 user_id, int64 amount, BalanceChange *change)
{
	static SqlStatement take = {
		"UPDATE commerce.users AS u SET balance = u.balance OPERATOR(pg_catalog.-) $2, updated_at = pg_catalog.now(), "
		NEXT_ENTRY " "
		"WHERE u.id OPERATOR(pg_catalog.=) $1 AND u.balance OPERATOR(pg_catalog.>=) $2 "
		"AND u.status OPERATOR(pg_catalog.=) 'ACTIVE' RETURNING u.balance, u.last_entry",
		2, {INT8OID, INT8OID}
	};
	static SqlStatement read_balance = {
		"SELECT u.balance FROM commerce.users u WHERE u.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
		1, {INT8OID}
	};
	SqlResult	taken = sql_query(&take, SQL_ARGS(Int64GetDatum(user_id), Int64GetDatum(amount)));

	if (result_next(&taken))
	{
		*change = change_of(&taken);
		return true;
	}
	user_require_active(user_id, true);
	change->number = 0;
	(void) sql_get_int64(&read_balance, SQL_ARGS(Int64GetDatum(user_id)), &change->balance);

	/* a charge may have been committed between the two statements */
	return change->balance >= amount && balance_take(user_id, amount, change);
}

BalanceChange
balance_add(int64 user_id, int64 amount)
{
	static SqlStatement add = {
		"UPDATE commerce.users AS u SET balance = u.balance OPERATOR(pg_catalog.+) $2, updated_at = pg_catalog.now(), "
		NEXT_ENTRY " "
		"WHERE u.id OPERATOR(pg_catalog.=) $1 RETURNING u.balance, u.last_entry",
		2, {INT8OID, INT8OID}
	};
	SqlResult	added = sql_query(&add, SQL_ARGS(Int64GetDatum(user_id), Int64GetDatum(amount)));

	if (!result_next(&added))
		elog(ERROR, "user " INT64_FORMAT " does not exist", user_id);
	return change_of(&added);
}

void
balance_record(int64 user_id, BalanceEntryKind kind, int64 amount, const BalanceChange *change,
			   int64 order_id, text *reference)
{
	Row			row = {0};

	if (amount == 0)
		return;
	row_put_int64(&row, BALANCE_ENTRIES_USER_ID, user_id);
	row_put_int64(&row, BALANCE_ENTRIES_NUMBER, change->number);
	row_put_label(&row, BALANCE_ENTRIES_KIND, TYPE_BALANCE_ENTRY_KIND, kind);
	row_put_int64(&row, BALANCE_ENTRIES_AMOUNT, amount);
	row_put_int64(&row, BALANCE_ENTRIES_BALANCE_AFTER, change->balance);
	row_put_id(&row, BALANCE_ENTRIES_ORDER_ID, order_id);
	row_put_varlena(&row, BALANCE_ENTRIES_REFERENCE, reference);
	row_put_time(&row, BALANCE_ENTRIES_AT, GetCurrentTransactionStartTimestamp());
	row_insert(TABLE_BALANCE_ENTRIES, BALANCE_ENTRIES_COLUMNS, &row);
}

/* The row (user_id, balance) that a charge returns. */
static Datum
charge_result(FunctionCallInfo fcinfo, int64 user_id, int64 balance)
{
	TupleDesc	tupdesc;
	Datum		values[2] = {Int64GetDatum(user_id), Int64GetDatum(balance)};
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
}

/*
 * charge_balance(user_id bigint, amount bigint, idempotency_key text)
 *
 * Adds amount (won: 0 < amount < 100 000 000, a multiple of 100) to the balance of an active user and
 * returns (user_id, balance after).
 */
Datum
commerce_charge_balance(PG_FUNCTION_ARGS)
{
	static SqlStatement charge = {
		"UPDATE commerce.users AS u SET balance = u.balance OPERATOR(pg_catalog.+) $2, updated_at = pg_catalog.now(), "
		NEXT_ENTRY ", event_key = greatest(u.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) "
		"WHERE u.id OPERATOR(pg_catalog.=) $1 AND u.status OPERATOR(pg_catalog.=) 'ACTIVE' "
		"AND u.balance OPERATOR(pg_catalog.<=) (9223372036854775807 OPERATOR(pg_catalog.-) $2) "
		"RETURNING u.balance, u.last_entry, u.event_key",
		2, {INT8OID, INT8OID}
	};
	IdempotentCall call;
	Event		event = {"User", NULL, "BalanceCharged"};
	JsonWriter	json = {0};
	text	   *key = arg_text_or_null(fcinfo, 2, "idempotency_key");
	int64		user_id;
	int64		amount;
	BalanceChange change;
	SqlResult	charged;
	Datum		result;

	gate_enter("charge_balance()");
	user_id = arg_int64(fcinfo, 0, "user_id");
	amount = arg_int64(fcinfo, 1, "amount");
	if (amount <= 0 || amount >= MAX_CHARGE || amount % CHARGE_UNIT != 0)
		raise_invalid("amount", "must be above 0, below " INT64_FORMAT " and a multiple of %d", MAX_CHARGE,
					  CHARGE_UNIT);

	idempotency_init(&call, idempotency_scope("user", user_id), "charge_balance", key, key ? psprintf(INT64_FORMAT, amount) : NULL);
	if (idempotency_begin(&call, &result))
	{
		Jsonb	   *stored = DatumGetJsonbP(result);
		JsonbValue	value;

		getKeyJsonValueFromContainer(&stored->root, "balance", strlen("balance"), &value);
		PG_RETURN_DATUM(charge_result(fcinfo, user_id,
									  DatumGetInt64(DirectFunctionCall1(numeric_int8,
																		NumericGetDatum(value.val.numeric)))));
	}

	charged = sql_query(&charge, SQL_ARGS(Int64GetDatum(user_id), Int64GetDatum(amount)));
	if (!result_next(&charged))
	{
		user_require_active(user_id, false);
		raise_invalid("amount", "would take the balance out of range");
	}
	change = change_of(&charged);
	event.key = result_int64(&charged, "event_key");

	balance_record(user_id, BALANCE_ENTRY_KIND_CHARGE, amount, &change, 0, key);

	json_open_object(&json, NULL);
	json_put_int(&json, "user_id", user_id);
	json_put_int(&json, "amount", amount);
	json_put_int(&json, "balance", change.balance);
	json_put_time(&json, "charged_at", GetCurrentTransactionStartTimestamp());
	json_close_object(&json);
	event.aggregateid = psprintf(INT64_FORMAT, user_id);
	event.payload = json_finish(&json);
	outbox_write(&event, 1);

	result = charge_result(fcinfo, user_id, change.balance);
	idempotency_end(&call, result);
	PG_RETURN_DATUM(result);
}
