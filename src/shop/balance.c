/*
 * balance.c
 *	  Users' prepaid balances; owns commerce.balance_entries and the column users.balance.
 *
 * A balance is a column of its user's row; each change is an append-only balance_entries row with the
 * balance after it, numbered when the balance changes.
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
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/json_writer.h"
#include "base/row_update.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "events/outbox.h"
#include "shop/balance.h"
#include "shop/idempotency.h"
#include "shop/user.h"

#define MAX_BALANCE		INT64CONST(9007199254740991)	/* below 2^53: no JSON client rounds it */

PG_FUNCTION_INFO_V1(commerce_charge_balance);

/* Changes the balance of a user's row that is open, and draws the number of the entry; an amount of 0 has none. */
static BalanceChange
put_balance(RowUpdate *user, int64 amount)
{
	BalanceChange change;

	change.balance = row_int64(&user->reader, USERS_BALANCE) + amount;
	change.number = row_int64(&user->reader, USERS_LAST_ENTRY) + (amount != 0 ? 1 : 0);
	row_update_put_int64(user, USERS_BALANCE, change.balance);
	row_update_put_int64(user, USERS_LAST_ENTRY, change.number);
	row_update_put_time(user, USERS_UPDATED_AT, GetCurrentTransactionStartTimestamp());
	return change;
}

static bool
is_active(RowUpdate *user)
{
	return row_label(&user->reader, USERS_STATUS, TYPE_USER_STATUS) == USER_STATUS_ACTIVE;
}

/* An attempt of balance_take(); false when the row has to be locked for it. */
static bool
try_to_take(int64 user_id, int64 amount, bool lock, BalanceChange *change, bool *enough)
{
	RowUpdate	user;
	bool		locked;

	if (!user_open(&user, user_id, lock))
		raise_not_found("user", user_id);
	locked = user.locked;
	if (locked && !is_active(&user))
		user_require_active(user_id, false);
	change->number = 0;
	change->balance = row_int64(&user.reader, USERS_BALANCE);
	*enough = is_active(&user) && change->balance >= amount;
	if (*enough)
		*change = put_balance(&user, -amount);
	/* who is not to pay may be about to become so that he is */
	return row_update_close(&user) && (*enough || locked);
}

bool
balance_take(int64 user_id, int64 amount, BalanceChange *change)
{
	bool		enough;

	if (!try_to_take(user_id, amount, false, change, &enough))
		(void) try_to_take(user_id, amount, true, change, &enough);
	return enough;
}

BalanceChange
balance_add(int64 user_id, int64 amount)
{
	RowUpdate	user;
	BalanceChange change;

	if (!user_open(&user, user_id, true))
		elog(ERROR, "user " INT64_FORMAT " does not exist", user_id);
	change = put_balance(&user, amount);
	(void) row_update_close(&user);
	return change;
}

void
balance_record(int64 user_id, BalanceEntryKind kind, int64 amount, const BalanceChange *change,
			   int64 order_id, int64 payment_id, text *reference)
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
	row_put_id(&row, BALANCE_ENTRIES_PAYMENT_ID, payment_id);
	row_insert(TABLE_BALANCE_ENTRIES, BALANCE_ENTRIES_COLUMNS, &row);
}

/* The row (user_id, balance) that a charge returns; its type is made once, which costs as much as writing a row. */
static Datum
charge_result(int64 user_id, int64 balance)
{
	static TupleDesc type = NULL;
	Datum		values[2] = {Int64GetDatum(user_id), Int64GetDatum(balance)};
	bool		nulls[2] = {false, false};

	if (type == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
		TupleDesc	made = CreateTemplateTupleDesc(2);

		TupleDescInitEntry(made, 1, "user_id", INT8OID, -1, 0);
		TupleDescInitEntry(made, 2, "balance", INT8OID, -1, 0);
		type = BlessTupleDesc(made);
		MemoryContextSwitchTo(caller);
	}
	return HeapTupleGetDatum(heap_form_tuple(type, values, nulls));
}

/*
 * Takes the key of a charge until the transaction ends; true when it has charged already, with the balance after
 * that.  The key stays with the entry, so it counts for good.
 */
static bool
find_charge(const IdempotentCall *call, int64 user_id, int64 amount, int64 *balance)
{
	static SqlStatement find = {
		"SELECT e.amount, e.balance_after FROM commerce.balance_entries e "
		"WHERE e.user_id OPERATOR(pg_catalog.=) $1 AND e.kind OPERATOR(pg_catalog.=) 'CHARGE' "
		"AND e.reference OPERATOR(pg_catalog.=) $2 "
		"UNION ALL SELECT a.amount, a.balance_after FROM commerce_private.archived_charges a "
		"WHERE a.user_id OPERATOR(pg_catalog.=) $1 AND a.key OPERATOR(pg_catalog.=) $2",
		2, {INT8OID, TEXTOID}, SQL_LATEST
	};
	SqlResult	found;

	if (call->key == NULL)
		return false;
	idempotency_lock(call);
	found = sql_query(&find, SQL_ARGS(Int64GetDatum(user_id), PointerGetDatum(call->key)));
	if (!result_next(&found))
		return false;
	if (result_int64(&found, "amount") != amount)
		raise_error(ERROR_IDEMPOTENCY_KEY_REUSED, D_TEXT("key", text_to_cstring(call->key)));
	*balance = result_int64(&found, "balance_after");
	return true;
}

int64
balance_arg_charge(FunctionCallInfo fcinfo, int i)
{
	int64		amount = arg_int64(fcinfo, i, "amount");

	if (amount <= 0 || amount > commerce_charge_max || amount % commerce_charge_unit != 0)
		raise_invalid("amount", "must be above 0, at most %d and a multiple of %d", commerce_charge_max,
					  commerce_charge_unit);
	return amount;
}

static void
write_event(int64 user_id, int64 amount, int64 balance, int64 key, int64 position)
{
	Event		event = {"User", outbox_id(user_id), "BalanceCharged"};
	JsonWriter	json = {0};

	json_open_object(&json, NULL);
	json_put_int(&json, "user_id", user_id);
	json_put_int(&json, "amount", amount);
	json_put_int(&json, "balance", balance);
	json_put_time(&json, "charged_at", GetCurrentTransactionStartTimestamp());
	json_close_object(&json);
	event.key = key;
	event.position = position;
	event.payload = json_finish(&json);
	outbox_write(&event, 1);
}

/* What a charge has drawn for its event. */
typedef struct ChargeEvent
{
	int64		key;
	int64		position;
} ChargeEvent;

/*
 * An attempt of balance_charge(); false when the row has to be locked for it.  The event's position is drawn with the
 * entry's number: a trigger may charge the same user before the entry is written, and the event after it.
 */
static bool
try_to_charge(int64 user_id, int64 amount, bool lock, BalanceChange *change, ChargeEvent *event, bool *chargeable)
{
	RowUpdate	user;
	bool		locked;

	*chargeable = false;
	if (!user_open(&user, user_id, lock))
		return true;
	locked = user.locked;
	*chargeable = is_active(&user) && row_int64(&user.reader, USERS_BALANCE) <= MAX_BALANCE - amount;
	if (*chargeable)
	{
		*change = put_balance(&user, amount);
		event->key = user_put_event_key(&user);
		event->position = catalog_nextval(SEQUENCE_OUTBOX_POSITION);
	}
	return row_update_close(&user) && (*chargeable || locked);
}

bool
balance_charge(int64 user_id, int64 amount, int64 payment_id, text *reference, BalanceChange *change)
{
	ChargeEvent event;
	bool		chargeable;

	if (!try_to_charge(user_id, amount, false, change, &event, &chargeable))
		(void) try_to_charge(user_id, amount, true, change, &event, &chargeable);
	if (!chargeable)
		return false;
	balance_record(user_id, BALANCE_ENTRY_KIND_CHARGE, amount, change, 0, payment_id, reference);
	write_event(user_id, amount, change->balance, event.key, event.position);
	return true;
}

/*
 * charge_balance(user_id bigint, amount bigint, idempotency_key text)
 *
 * Adds amount (within commerce.charge_max and a multiple of commerce.charge_unit) to the balance of an active
 * user and returns (user_id, balance after).
 */
Datum
commerce_charge_balance(PG_FUNCTION_ARGS)
{
	IdempotentCall call;
	text	   *key = arg_text_or_null(fcinfo, 2, "idempotency_key");
	int64		user_id;
	int64		amount;
	int64		balance;
	BalanceChange change;

	gate_enter("charge_balance()");
	user_id = arg_int64(fcinfo, 0, "user_id");
	amount = balance_arg_charge(fcinfo, 1);
	idempotency_init(&call, idempotency_scope("user", user_id), "charge_balance", key, "");
	if (find_charge(&call, user_id, amount, &balance))
	{
		idempotency_set_replayed(true);
		PG_RETURN_DATUM(charge_result(user_id, balance));
	}

	if (!balance_charge(user_id, amount, 0, key, &change))
	{
		user_require_active(user_id, false);
		raise_invalid("amount", "would take the balance out of range");
	}
	idempotency_set_replayed(false);
	PG_RETURN_DATUM(charge_result(user_id, change.balance));
}
