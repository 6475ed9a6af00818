/*
 * coupon.c
 *	  Claiming coupons and using them in orders; owns the hot statements on commerce.coupon_issues and
 *	  commerce.order_coupons.
 *
 * First come, first served: a claim takes one unit of the coupon's quota through escrow.c and appends a
 * coupon_issues row, which is the truth of the quota; no shared row is updated.  One per user is the
 * unique constraint's to say.
 *
 * Lock order: coupons by ascending id, after the user's row, before products.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/json_writer.h"
#include "base/key.h"
#include "base/row_reader.h"
#include "base/row_update.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "base/sweep.h"
#include "escrow/escrow.h"
#include "escrow/gate.h"
#include "events/outbox.h"
#include "shop/balance.h"
#include "shop/coupon.h"
#include "shop/user.h"

PG_FUNCTION_INFO_V1(commerce_claim_coupon);
PG_FUNCTION_INFO_V1(commerce_expire_coupons);
PG_FUNCTION_INFO_V1(commerce_give_coupon);

/*
 * Raises COUPON_NOT_USABLE for a coupon of the user that is not ACTIVE.  Who holds it by an unpaid order of his own is
 * told which: he can pay it, or cancel it.
 */
pg_noreturn static void
refuse_status(int64 issue_id, CouponIssueStatus status)
{
	static SqlStatement find = {
		"SELECT o.id FROM commerce.coupon_issues i JOIN commerce.orders o ON o.id OPERATOR(pg_catalog.=) i.used_order_id "
		"WHERE i.id OPERATOR(pg_catalog.=) $1 AND o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT'",
		1, {INT8OID}
	};
	ErrorReason reason = status == COUPON_ISSUE_STATUS_USED ? REASON_USED :
		status == COUPON_ISSUE_STATUS_EXPIRED ? REASON_EXPIRED : REASON_REVOKED;
	int64		own_order_id;

	if (status == COUPON_ISSUE_STATUS_USED && sql_get_int64(&find, SQL_ARGS(Int64GetDatum(issue_id)), &own_order_id))
		raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", issue_id), D_REASON(REASON_HELD),
					D_INT("own_order_id", own_order_id));
	raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", issue_id), D_REASON(reason));
}

/* Reads the coupon issue that a reader is at, which is to be used. */
static Coupon
read_usable(RowReader *issue)
{
	Coupon		coupon = {0};
	CouponIssueStatus status = row_label(issue, COUPON_ISSUES_STATUS, TYPE_COUPON_ISSUE_STATUS);
	TimestampTz expires_at = row_int64(issue, COUPON_ISSUES_EXPIRES_AT);

	coupon.issue_id = row_int64(issue, COUPON_ISSUES_ID);
	coupon.tid = issue->slot->tts_tid;
	coupon.kind = row_label(issue, COUPON_ISSUES_KIND, TYPE_COUPON_KIND);
	coupon.scope = row_label(issue, COUPON_ISSUES_SCOPE, TYPE_COUPON_SCOPE);
	coupon.value = row_int64(issue, COUPON_ISSUES_VALUE);
	coupon.max_discount = row_int64(issue, COUPON_ISSUES_MAX_DISCOUNT);
	coupon.round_unit = row_int64(issue, COUPON_ISSUES_ROUND_UNIT);
	coupon.min_order_amount = row_int64(issue, COUPON_ISSUES_MIN_ORDER_AMOUNT);
	coupon.max_units = row_int64(issue, COUPON_ISSUES_MAX_UNITS);
	coupon.seller_id = row_int64(issue, COUPON_ISSUES_SELLER_ID);
	coupon.product_id = row_int64(issue, COUPON_ISSUES_PRODUCT_ID);
	if (status != COUPON_ISSUE_STATUS_ACTIVE)
		refuse_status(coupon.issue_id, status);
	/* it may have expired while its row was waited for */
	if (expires_at <= GetCurrentTimestamp())
		raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", coupon.issue_id), D_REASON(REASON_EXPIRED),
					D_TEXT("expires_at", calendar_time_text(expires_at)));
	return coupon;
}

Coupon *
coupon_read(int64 user_id, const int64 *issue_ids, int n, bool lock)
{
	Coupon	   *coupons = palloc(n * sizeof(Coupon));
	RowReader	issues;

	row_push_snapshot();
	row_reader_open(&issues, TABLE_COUPON_ISSUES, INDEX_COUPON_ISSUES_PKEY, 1);
	for (int i = 0; i < n; i++)
	{
		row_reader_seek(&issues, &issue_ids[i]);
		/* somebody else's coupon is not told from one that does not exist */
		if (!row_reader_next(&issues) || row_int64(&issues, COUPON_ISSUES_USER_ID) != user_id ||
			(lock && !row_lock_found(&issues, false)))
			raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", issue_ids[i]),
						D_REASON(REASON_NOT_OWN));
		coupons[i] = read_usable(&issues);
	}
	row_reader_close(&issues);
	PopActiveSnapshot();
	return coupons;
}

/* Marks a coupon issue that is locked USED by an order, and makes the event that tells of it. */
static Event
mark_used(int64 issue_id, RowPlace place, int64 order_id)
{
	static const char *const internal[] = {"event_key", "xid", NULL};
	Event		event = {"CouponIssue", outbox_id(issue_id), "CouponUsed"};
	int64		own_key = current_key();
	int64		last_key;
	RowUpdate	issue;

	if (!row_update_open(&issue, TABLE_COUPON_ISSUES, COUPON_ISSUES_COLUMNS, INDEX_COUPON_ISSUES_PKEY, COUPON_ISSUES_ID,
						 issue_id, &place, false))
		elog(ERROR, "coupon issue " INT64_FORMAT " does not exist", issue_id);
	last_key = row_int64(&issue.reader, COUPON_ISSUES_EVENT_KEY);
	event.key = Max(last_key, own_key);
	row_update_put_label(&issue, COUPON_ISSUES_STATUS, TYPE_COUPON_ISSUE_STATUS, COUPON_ISSUE_STATUS_USED);
	row_update_put_time(&issue, COUPON_ISSUES_USED_AT, GetCurrentTransactionStartTimestamp());
	row_update_put_int64(&issue, COUPON_ISSUES_USED_ORDER_ID, order_id);
	row_update_put_int64(&issue, COUPON_ISSUES_EVENT_KEY, event.key);
	event.payload = json_of_row(row_update_close_returning(&issue), COUPON_ISSUES_COLUMNS, internal);
	return event;
}

void
coupon_use(const Coupon *coupons, int n, int64 order_id)
{
	Event	   *events = palloc(n * sizeof(Event));

	for (int i = 0; i < n; i++)
	{
		Row			row = {0};

		events[i] = mark_used(coupons[i].issue_id, (RowPlace) {coupons[i].issue_id, coupons[i].tid}, order_id);
		row_put_int64(&row, ORDER_COUPONS_ORDER_ID, order_id);
		row_put_int64(&row, ORDER_COUPONS_COUPON_ISSUE_ID, coupons[i].issue_id);
		row_put_int64(&row, ORDER_COUPONS_DISCOUNT, coupons[i].discount);
		row_insert(TABLE_ORDER_COUPONS, ORDER_COUPONS_COLUMNS, &row);
	}
	if (n > 0)
		outbox_write(events, n);
}

UsedCoupon *
coupon_read_used(int64 order_id, int *n)
{
	static SqlStatement read = {
		"SELECT u.coupon_issue_id, i.kind, i.scope, i.seller_id, u.restored_at "
		"FROM commerce.order_coupons u JOIN commerce.coupon_issues i ON i.id OPERATOR(pg_catalog.=) u.coupon_issue_id "
		"WHERE u.order_id OPERATOR(pg_catalog.=) $1 ORDER BY u.coupon_issue_id",
		1, {INT8OID}
	};
	SqlResult	used = sql_query(&read, SQL_ARGS(Int64GetDatum(order_id)));
	UsedCoupon *coupons = palloc((used.n + 1) * sizeof(UsedCoupon));

	*n = 0;
	while (result_next(&used))
	{
		UsedCoupon *coupon = &coupons[*n];

		if (!result_is_null(&used, "restored_at"))
			continue;
		coupon->issue_id = result_int64(&used, "coupon_issue_id");
		coupon->kind = result_label(&used, "kind", TYPE_COUPON_KIND);
		coupon->scope = result_label(&used, "scope", TYPE_COUPON_SCOPE);
		coupon->seller_id = result_int64(&used, "seller_id");
		(*n)++;
	}
	return coupons;
}

void
coupon_restore(int64 order_id, const UsedCoupon *coupons, int n)
{
	static SqlStatement restore = {
		"WITH restored AS ("
		"  UPDATE commerce.coupon_issues AS i SET used_at = NULL, used_order_id = NULL, "
		"  status = (CASE WHEN i.expires_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() "
		"    THEN 'EXPIRED' ELSE 'ACTIVE' END)::commerce.coupon_issue_status, "
		"  event_key = greatest(i.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) "
		"  WHERE i.id OPERATOR(pg_catalog.=) $1 RETURNING i.*), "
		"recorded AS ("
		"  UPDATE commerce.order_coupons AS c SET restored_at = pg_catalog.now() "
		"  WHERE c.order_id OPERATOR(pg_catalog.=) $2 AND c.coupon_issue_id OPERATOR(pg_catalog.=) $1) "
		"SELECT commerce_private.coupon_event(restored::commerce.coupon_issues, 'CouponRestored'), "
		"CASE WHEN restored.status OPERATOR(pg_catalog.=) 'EXPIRED' "
		"  THEN commerce_private.coupon_event(restored::commerce.coupon_issues, 'CouponExpired') END FROM restored",
		2, {INT8OID, INT8OID}
	};

	for (int i = 0; i < n; i++)
		sql_do(&restore, SQL_ARGS(Int64GetDatum(coupons[i].issue_id), Int64GetDatum(order_id)));
}

int64
coupon_use_again(int64 order_id)
{
	static SqlStatement lock = {
		"SELECT i.id, i.status OPERATOR(pg_catalog.=) 'ACTIVE' "
		"  AND i.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() AS usable "
		"FROM commerce.order_coupons u JOIN commerce.coupon_issues i ON i.id OPERATOR(pg_catalog.=) u.coupon_issue_id "
		"WHERE u.order_id OPERATOR(pg_catalog.=) $1 ORDER BY i.id FOR NO KEY UPDATE OF i",
		1, {INT8OID}
	};
	static SqlStatement record = {
		"UPDATE commerce.order_coupons AS c SET restored_at = NULL "
		"WHERE c.order_id OPERATOR(pg_catalog.=) $1 AND c.coupon_issue_id OPERATOR(pg_catalog.=) $2",
		2, {INT8OID, INT8OID}
	};
	SqlResult	issues = sql_query(&lock, SQL_ARGS(Int64GetDatum(order_id)));

	while (result_next(&issues))
		if (!result_bool(&issues, "usable"))
			return result_int64(&issues, "id");
	issues.next = 0;
	while (result_next(&issues))
	{
		int64		issue_id = result_int64(&issues, "id");
		Event		event = mark_used(issue_id, (RowPlace) {0}, order_id);

		sql_do(&record, SQL_ARGS(Int64GetDatum(order_id), Int64GetDatum(issue_id)));
		outbox_write(&event, 1);
	}
	return 0;
}

int64 *
coupon_ids_of_order(int64 order_id, int *n)
{
	static SqlStatement find = {
		"SELECT c.coupon_issue_id FROM commerce.order_coupons c WHERE c.order_id OPERATOR(pg_catalog.=) $1 ORDER BY 1",
		1, {INT8OID}
	};

	return sql_ids(&find, SQL_ARGS(Int64GetDatum(order_id)), n);
}

typedef struct Issue
{
	int64		user_id;
	int64		coupon_id;
	char	   *name;
	char	   *description;	/* NULL: none */
	CouponKind	kind;
	int64		value;
	int64		max_discount;	/* 0: none */
	int64		round_unit;
	int64		min_order_amount;
	int64		max_units;		/* 0: all */
	CouponScope scope;
	int64		seller_id;		/* 0: none */
	int64		product_id;		/* 0: none */
	TimestampTz expires_at;
	bool		claimed;		/* by the user; else somebody gives it to him */
	Jsonb	   *actor;			/* who, as the event says it */
} Issue;

static void
refuse_second_claim(const Issue *issue)
{
	static SqlStatement find = {
		"SELECT i.id FROM commerce.coupon_issues i WHERE i.user_id OPERATOR(pg_catalog.=) $1 "
		"AND i.coupon_id OPERATOR(pg_catalog.=) $2", 2, {INT8OID, INT8OID}, SQL_LATEST
	};
	int64		issue_id = 0;

	(void) sql_get_int64(&find, SQL_ARGS(Int64GetDatum(issue->user_id), Int64GetDatum(issue->coupon_id)), &issue_id);
	raise_error(ERROR_COUPON_ALREADY_CLAIMED, D_INT("coupon_id", issue->coupon_id),
				D_INT_IF(issue_id != 0, "coupon_issue_id", issue_id));
}

/* Inserts the row and returns it; that the user has one already is found by the unique constraint. */
static Datum
insert_issue_row(const Issue *issue, int64 issue_id)
{
	MemoryContext context = CurrentMemoryContext;
	Row			row = {0};
	int64		xid = current_key();
	Datum		inserted = (Datum) 0;

	row_put_int64(&row, COUPON_ISSUES_ID, issue_id);
	row_put_int64(&row, COUPON_ISSUES_USER_ID, issue->user_id);
	row_put_int64(&row, COUPON_ISSUES_COUPON_ID, issue->coupon_id);
	row_put_text(&row, COUPON_ISSUES_NAME, issue->name);
	row_put_text(&row, COUPON_ISSUES_DESCRIPTION, issue->description);
	row_put_label(&row, COUPON_ISSUES_KIND, TYPE_COUPON_KIND, issue->kind);
	row_put_int64(&row, COUPON_ISSUES_VALUE, issue->value);
	row_put_id(&row, COUPON_ISSUES_MAX_DISCOUNT, issue->max_discount);
	row_put_int64(&row, COUPON_ISSUES_ROUND_UNIT, issue->round_unit);
	row_put_int64(&row, COUPON_ISSUES_MIN_ORDER_AMOUNT, issue->min_order_amount);
	row_put_id(&row, COUPON_ISSUES_MAX_UNITS, issue->max_units);
	row_put_label(&row, COUPON_ISSUES_SCOPE, TYPE_COUPON_SCOPE, issue->scope);
	row_put_id(&row, COUPON_ISSUES_SELLER_ID, issue->seller_id);
	row_put_id(&row, COUPON_ISSUES_PRODUCT_ID, issue->product_id);
	row_put_label(&row, COUPON_ISSUES_STATUS, TYPE_COUPON_ISSUE_STATUS, COUPON_ISSUE_STATUS_ACTIVE);
	row_put_time(&row, COUPON_ISSUES_ISSUED_AT, GetCurrentTransactionStartTimestamp());
	row_put_time(&row, COUPON_ISSUES_EXPIRES_AT, issue->expires_at);
	row_put_int64(&row, COUPON_ISSUES_EVENT_KEY, xid);
	row_put_int64(&row, COUPON_ISSUES_XID, xid);

	PG_TRY();
	{
		inserted = row_insert_returning(TABLE_COUPON_ISSUES, COUPON_ISSUES_COLUMNS, &row);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || error->constraint_name == NULL ||
			strcmp(error->constraint_name, "coupon_issues_user_coupon_key") != 0)
			PG_RE_THROW();

		/* another error takes its place: nothing is swallowed, the transaction still aborts */
		FlushErrorState();
		refuse_second_claim(issue);
	}
	PG_END_TRY();
	return inserted;
}

static void
write_issued_event(const Issue *issue, int64 issue_id)
{
	JsonWriter	json = {0};
	Event		event = {"CouponIssue", outbox_id(issue_id), "CouponIssued"};

	json_open_object(&json, NULL);
	json_put_int(&json, "id", issue_id);
	json_put_int(&json, "user_id", issue->user_id);
	json_put_int(&json, "coupon_id", issue->coupon_id);
	json_put_text(&json, "name", issue->name);
	json_put_text(&json, "description", issue->description);
	json_put_text(&json, "kind", catalog_label_name(TYPE_COUPON_KIND, issue->kind));
	json_put_int(&json, "value", issue->value);
	json_put_id(&json, "max_discount", issue->max_discount);
	json_put_int(&json, "round_unit", issue->round_unit);
	json_put_int(&json, "min_order_amount", issue->min_order_amount);
	json_put_id(&json, "max_units", issue->max_units);
	json_put_text(&json, "scope", catalog_label_name(TYPE_COUPON_SCOPE, issue->scope));
	json_put_id(&json, "seller_id", issue->seller_id);
	json_put_id(&json, "product_id", issue->product_id);
	json_put_text(&json, "status", catalog_label_name(TYPE_COUPON_ISSUE_STATUS, COUPON_ISSUE_STATUS_ACTIVE));
	json_put_time(&json, "issued_at", GetCurrentTransactionStartTimestamp());
	json_put_time(&json, "expires_at", issue->expires_at);
	json_put_text(&json, "used_at", NULL);
	json_put_text(&json, "used_order_id", NULL);
	if (!issue->claimed)
		json_put_jsonb(&json, "actor", issue->actor);
	json_close_object(&json);
	event.payload = json_finish(&json);
	event.key = current_key();
	outbox_write(&event, 1);
}

/* Whether the user has the coupon, as the active snapshot shows it. */
static bool
has_claimed(const Issue *issue)
{
	int64		keys[2] = {issue->user_id, issue->coupon_id};
	RowReader	issues;
	bool		found;

	row_reader_open(&issues, TABLE_COUPON_ISSUES, INDEX_COUPON_ISSUES_USER_COUPON_KEY, 2);
	row_reader_seek(&issues, keys);
	found = row_reader_next(&issues);
	row_reader_close(&issues);
	return found;
}

/* Why a coupon cannot be issued, but for its quota; REASON_NONE: it can. */
static ErrorReason
find_obstacle(RowReader *coupon, bool claimed)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		isnull;

	if (!row_is_null(coupon, COUPONS_STOPPED_AT))
		return REASON_STOPPED;
	if (!row_is_null(coupon, COUPONS_VALID_UNTIL) && row_int64(coupon, COUPONS_VALID_UNTIL) <= now)
		return REASON_WOULD_EXPIRE;
	if (!claimed)
		return REASON_NONE;
	if (!DatumGetBool(row_datum(coupon, COUPONS_CLAIMABLE, &isnull)))
		return REASON_GIVEN_OUT;
	if (row_int64(coupon, COUPONS_ISSUE_FROM) > now)
		return REASON_NOT_BEGUN;
	if (!row_is_null(coupon, COUPONS_ISSUE_UNTIL) && row_int64(coupon, COUPONS_ISSUE_UNTIL) <= now)
		return REASON_OVER;
	return REASON_NONE;
}

/* Reads what the issue of a coupon says, or raises the reason for which there can be none. */
static void
read_coupon(Issue *issue, bool sold_out)
{
	static RowPlace place;
	RowReader	coupon;
	ErrorReason obstacle;

	row_push_snapshot();
	if (!row_reader_find(&coupon, TABLE_COUPONS, INDEX_COUPONS_PKEY, COUPONS_ID, issue->coupon_id, &place, false))
		raise_not_found("coupon", issue->coupon_id);
	if (has_claimed(issue))
		refuse_second_claim(issue);
	obstacle = find_obstacle(&coupon, issue->claimed);
	if (obstacle != REASON_NONE)
		raise_error(ERROR_COUPON_NOT_CLAIMABLE, D_INT("coupon_id", issue->coupon_id), D_REASON(obstacle),
					D_TEXT_IF(obstacle == REASON_NOT_BEGUN || obstacle == REASON_OVER,
							  obstacle == REASON_NOT_BEGUN ? "issue_from" : "issue_until",
							  calendar_time_text(row_int64(&coupon, obstacle == REASON_NOT_BEGUN ?
														   COUPONS_ISSUE_FROM : COUPONS_ISSUE_UNTIL))));
	if (sold_out)
		raise_error(ERROR_COUPON_SOLD_OUT, D_INT("coupon_id", issue->coupon_id));
	issue->name = row_text(&coupon, COUPONS_NAME);
	issue->description = row_text(&coupon, COUPONS_DESCRIPTION);
	issue->kind = row_label(&coupon, COUPONS_KIND, TYPE_COUPON_KIND);
	issue->value = row_int64(&coupon, COUPONS_VALUE);
	issue->max_discount = row_int64(&coupon, COUPONS_MAX_DISCOUNT);
	issue->round_unit = row_int64(&coupon, COUPONS_ROUND_UNIT);
	issue->min_order_amount = row_int64(&coupon, COUPONS_MIN_ORDER_AMOUNT);
	issue->max_units = row_int64(&coupon, COUPONS_MAX_UNITS);
	issue->scope = row_label(&coupon, COUPONS_SCOPE, TYPE_COUPON_SCOPE);
	issue->seller_id = row_int64(&coupon, COUPONS_SELLER_ID);
	issue->product_id = row_int64(&coupon, COUPONS_PRODUCT_ID);
	if (row_is_null(&coupon, COUPONS_VALID_UNTIL))
		issue->expires_at = calendar_days_from_now(row_int32(&coupon, COUPONS_VALID_DAYS));
	else
		issue->expires_at = row_int64(&coupon, COUPONS_VALID_UNTIL);
	row_reader_close(&coupon);
	PopActiveSnapshot();
}

/* Issues a coupon to an active user out of its quota, and returns the coupon_issues row. */
static Datum
issue_coupon(Issue *issue)
{
	int64		issue_id;
	int64		available;
	bool		sold_out = escrow_surely_short(ESCROW_QUOTA, issue->coupon_id, 1, &available);
	Datum		row;

	/* nothing is made for him when it is sold out */
	if (sold_out)
		user_require_active(issue->user_id, false);
	else
		user_require_kept(issue->user_id);
	read_coupon(issue, sold_out);
	if (!escrow_take_anywhere(ESCROW_QUOTA, issue->coupon_id, 1, &available))
	{
		/* we may have waited for a claim of this very user */
		row_push_latest_snapshot();
		if (has_claimed(issue))
			refuse_second_claim(issue);
		PopActiveSnapshot();
		raise_error(ERROR_COUPON_SOLD_OUT, D_INT("coupon_id", issue->coupon_id));
	}
	issue_id = catalog_nextval(SEQUENCE_COUPON_ISSUES_ID);
	row = insert_issue_row(issue, issue_id);
	write_issued_event(issue, issue_id);
	return row;
}

/*
 * claim_coupon(user_id bigint, coupon_id bigint)
 */
Datum
commerce_claim_coupon(PG_FUNCTION_ARGS)
{
	Issue		issue = {.claimed = true};

	gate_enter("claim_coupon()");
	issue.user_id = arg_int64(fcinfo, 0, "user_id");
	issue.coupon_id = arg_int64(fcinfo, 1, "coupon_id");
	PG_RETURN_DATUM(issue_coupon(&issue));
}

/*
 * give_coupon(coupon_id bigint, user_id bigint, actor jsonb)
 */
Datum
commerce_give_coupon(PG_FUNCTION_ARGS)
{
	Issue		issue = {.claimed = false};

	issue.coupon_id = arg_int64(fcinfo, 0, "coupon_id");
	issue.user_id = arg_int64(fcinfo, 1, "user_id");
	issue.actor = DatumGetJsonbP(arg_datum(fcinfo, 2, "actor"));
	PG_RETURN_DATUM(issue_coupon(&issue));
}

static int
expire_issues(const int64 *issue_ids, int n)
{
	static SqlStatement expire = {
		"WITH due AS ("
		"  SELECT d.id FROM commerce.coupon_issues d WHERE d.id OPERATOR(pg_catalog.=) ANY ($1) "
		"  AND d.status OPERATOR(pg_catalog.=) 'ACTIVE' AND d.expires_at OPERATOR(pg_catalog.<=) $2 "
		"  FOR NO KEY UPDATE SKIP LOCKED), "
		"expired AS ("
		"  UPDATE commerce.coupon_issues AS i SET status = 'EXPIRED', "
		"  event_key = greatest(i.event_key, commerce_private.to_key(pg_catalog.pg_current_xact_id())) "
		"  FROM due WHERE i.id OPERATOR(pg_catalog.=) due.id RETURNING i.*) "
		"SELECT commerce_private.coupon_event(expired::commerce.coupon_issues, 'CouponExpired') FROM expired",
		2, {INT8ARRAYOID, TIMESTAMPTZOID}
	};

	return (int) sql_do(&expire, SQL_ARGS(sql_int8_array(issue_ids, n), TimestampTzGetDatum(GetCurrentTimestamp())));
}

static int64 *
find_overdue_issues(int64 max, int64 skipped, int *n)
{
	static SqlStatement find = {
		SWEEP_DUE("SELECT i.id, i.expires_at AS at FROM commerce.coupon_issues i "
				  "WHERE i.status OPERATOR(pg_catalog.=) 'ACTIVE' AND i.expires_at OPERATOR(pg_catalog.<=) $3"),
		3, {INT8OID, INT8OID, TIMESTAMPTZOID}
	};

	return sql_ids(&find, SQL_ARGS(Int64GetDatum(max), Int64GetDatum(skipped),
								   TimestampTzGetDatum(GetCurrentTimestamp())), n);
}

/*
 * expire_coupons(max_rows int)
 *
 * Marks at most max_rows overdue coupon issues that nobody is working on, and returns how many.
 */
Datum
commerce_expire_coupons(PG_FUNCTION_ARGS)
{
	static const Sweep expire = {"overdue coupon issue", "marked expired", find_overdue_issues, expire_issues, NULL};

	gate_enter("expire_coupons()");
	PG_RETURN_INT32(sweep(&expire, arg_max_rows(fcinfo, 0)));
}
