/*
 * quota.c
 *	  How many of a coupon may be issued; owns commerce_private.coupon_quota and commerce.quota_entries.
 *
 * A quantity is the sum of the coupon's entries.  One that falls is taken through escrow.c, as claims take;
 * one that rises is given.  So nobody is kept from claiming while it changes.
 *
 * Lock order: the coupon's row first, which the caller has locked.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/key.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/escrow.h"
#include "escrow/gate.h"
#include "shop/quota.h"

PG_FUNCTION_INFO_V1(commerce_change_quota);
PG_FUNCTION_INFO_V1(commerce_open_quota);
PG_FUNCTION_INFO_V1(commerce_receive_quantity);
PG_FUNCTION_INFO_V1(commerce_record_quota);

/* Who changes a quantity, and why. */
typedef struct Change
{
	int64		actor_id;		/* 0: a trusted caller */
	text	   *note;			/* NULL: none */
} Change;

/* The arguments actor_id and note, of which the first is number first. */
static Change
get_change(FunctionCallInfo fcinfo, int first)
{
	Change		change = {PG_ARGISNULL(first) ? 0 : PG_GETARG_INT64(first), arg_text_or_null(fcinfo, first + 1, "note")};

	return change;
}

static void
write_entry(int64 coupon_id, int64 delta, QuotaReason reason, const Change *change, int64 xid)
{
	Row			row = {0};

	row_put_int64(&row, QUOTA_ENTRIES_COUPON_ID, coupon_id);
	row_put_int64(&row, QUOTA_ENTRIES_DELTA, delta);
	row_put_label(&row, QUOTA_ENTRIES_REASON, TYPE_QUOTA_REASON, reason);
	row_put_id(&row, QUOTA_ENTRIES_ACTOR_ID, change->actor_id);
	row_put_varlena(&row, QUOTA_ENTRIES_NOTE, change->note);
	row_put_time(&row, QUOTA_ENTRIES_AT, GetCurrentTransactionStartTimestamp());
	row_put_int64(&row, QUOTA_ENTRIES_XID, xid);
	row_insert(TABLE_QUOTA_ENTRIES, QUOTA_ENTRIES_COLUMNS, &row);
}

void
quota_record_transfer(int64 coupon_id, int64 delta)
{
	Change		moved = {0};

	write_entry(coupon_id, delta, QUOTA_REASON_TRANSFER, &moved, current_key());
}

/*
 * open_quota(coupon_id bigint, quantity bigint, actor_id bigint, note text)
 *
 * Gives a coupon that this transaction has created its narrow row and, when quantity > 0, its first entry, which
 * is folded from birth, as a product's is.  A coupon that another cell has made begins with none here.
 */
Datum
commerce_open_quota(PG_FUNCTION_ARGS)
{
	const int64 folded = 0;		/* as of a transaction below every mark */
	Change		change = get_change(fcinfo, 2);
	Row			row = {0};

	row_put_int64(&row, COUPON_QUOTA_COUPON_ID, PG_GETARG_INT64(0));
	row_put_int64(&row, COUPON_QUOTA_ON_HAND, PG_GETARG_INT64(1));
	row_put_int64(&row, COUPON_QUOTA_MARK, folded + 1);
	row_insert(TABLE_COUPON_QUOTA, COUPON_QUOTA_COLUMNS, &row);
	if (PG_GETARG_INT64(1) > 0)
		write_entry(PG_GETARG_INT64(0), PG_GETARG_INT64(1), QUOTA_REASON_INITIAL, &change, folded);
	PG_RETURN_VOID();
}

static void
refuse_below_issued(int64 issued)
{
	raise_error(ERROR_INVALID_REQUEST, D_TEXT("argument", "quantity"),
				D_TEXT("reason", "must not be below what is issued"), D_INT("issued", issued));
}

static void
set_quantity(int64 coupon_id, int64 quantity)
{
	static SqlStatement set = {
		"UPDATE commerce.coupons AS c SET quantity = $2 WHERE c.id OPERATOR(pg_catalog.=) $1",
		2, {INT8OID, INT8OID}, SQL_LATEST
	};

	(void) gate_own_write(&set, SQL_ARGS(Int64GetDatum(coupon_id), Int64GetDatum(quantity)));
}

/*
 * change_quota(coupon_id bigint, former bigint, quantity bigint, actor_id bigint, note text)
 *
 * Raises INVALID_REQUEST when more are issued.
 */
Datum
commerce_change_quota(PG_FUNCTION_ARGS)
{
	int64		coupon_id = PG_GETARG_INT64(0);
	int64		former = PG_GETARG_INT64(1);
	int64		quantity = PG_GETARG_INT64(2);
	Change		change = get_change(fcinfo, 3);
	int64		left;

	if (quantity > former)
		escrow_give(ESCROW_QUOTA, coupon_id, quantity - former);
	else if (!escrow_take_anywhere(ESCROW_QUOTA, coupon_id, former - quantity, &left))
		refuse_below_issued(former - left);
	write_entry(coupon_id, quantity - former, QUOTA_REASON_CHANGE, &change, current_key());
	set_quantity(coupon_id, quantity);
	PG_RETURN_VOID();
}

/*
 * receive_quantity(coupon_id bigint, quantity bigint)
 *
 * Writes the quantity of a coupon that another cell owns.  What may be issued here is the sum of the entries alone,
 * so nobody has to be kept out.
 */
Datum
commerce_receive_quantity(PG_FUNCTION_ARGS)
{
	set_quantity(PG_GETARG_INT64(0), PG_GETARG_INT64(1));
	PG_RETURN_VOID();
}

static int64
column(TriggerData *trigger, HeapTuple row, int number)
{
	bool		isnull;

	return DatumGetInt64(heap_getattr(row, number, RelationGetDescr(trigger->tg_relation), &isnull));
}

/*
 * record_quota()
 *
 * Trigger, after an update of a coupon's quantity by hand: everybody else is kept out already, and counters
 * will be stale.
 */
Datum
commerce_record_quota(PG_FUNCTION_ARGS)
{
	static SqlStatement sum_moves = {
		"SELECT pg_catalog.sum(m.delta)::pg_catalog.int8 FROM commerce_private.quota_moves m "
		"WHERE m.coupon_id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}, SQL_LATEST
	};
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Change		by_hand = {0};
	int64		coupon_id;
	int64		former;
	int64		quantity;
	int64		left = 0;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "record_quota must be called as a trigger");
	if (gate_is_own_write())
		PG_RETURN_POINTER(NULL);
	coupon_id = column(trigger, trigger->tg_newtuple, COUPONS_ID);
	former = column(trigger, trigger->tg_trigtuple, COUPONS_QUANTITY);
	quantity = column(trigger, trigger->tg_newtuple, COUPONS_QUANTITY);
	/* what other cells have is as good as issued */
	(void) sql_get_int64(&sum_moves, SQL_ARGS(Int64GetDatum(coupon_id)), &left);
	if (quantity < former - left)
		refuse_below_issued(former - left);
	write_entry(coupon_id, quantity - former, QUOTA_REASON_CHANGE, &by_hand, current_key());
	PG_RETURN_POINTER(NULL);
}
