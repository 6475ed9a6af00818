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
#include "utils/xid8.h"

#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/json_writer.h"
#include "base/row_reader.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "base/sweep.h"
#include "escrow/escrow.h"
#include "escrow/gate.h"
#include "events/outbox.h"
#include "shop/balance.h"
#include "shop/coupon.h"
#include "shop/user.h"

#define ISSUE_COLUMNS	14

/* Columns of commerce.coupons. */
enum
{
	COUPONS_NAME = 2,
	COUPONS_DESCRIPTION = 3,
	COUPONS_KIND = 4,
	COUPONS_VALUE = 5,
	COUPONS_ISSUE_FROM = 13,
	COUPONS_ISSUE_UNTIL = 14,
	COUPONS_VALID_DAYS = 15,
	COUPONS_VALID_UNTIL = 16,
	COUPONS_STOPPED_AT = 17,
};

PG_FUNCTION_INFO_V1(commerce_claim_coupon);
PG_FUNCTION_INFO_V1(commerce_expire_coupons);
PG_FUNCTION_INFO_V1(commerce_open_quota);

static const char *const kind_labels[] = {
	[COUPON_FIXED] = "FIXED",
	[COUPON_PERCENT] = "PERCENT",
	[COUPON_FREE_SHIPPING] = "FREE_SHIPPING",
};

static const char *const scope_labels[] = {
	[SCOPE_ORDER] = "ORDER",
	[SCOPE_SELLER] = "SELLER",
	[SCOPE_PRODUCT] = "PRODUCT",
};

static int
find_label(const char *const *labels, int n, const char *label)
{
	for (int i = 0; i < n; i++)
		if (strcmp(labels[i], label) == 0)
			return i;
	elog(ERROR, "unexpected label \"%s\"", label);
}

#define READ_ISSUES \
	"SELECT i.id, i.kind, c.scope, i.value, coalesce(c.max_discount, 0), c.round_unit, c.min_order_amount, " \
	"coalesce(c.seller_id, 0), coalesce(c.product_id, 0), i.status, i.expires_at " \
	"FROM commerce.coupon_issues i JOIN commerce.coupons c ON c.id OPERATOR(pg_catalog.=) i.coupon_id " \
	"WHERE i.id OPERATOR(pg_catalog.=) ANY ($1) AND i.user_id OPERATOR(pg_catalog.=) $2 ORDER BY i.id "

Coupon *
coupon_read(int64 user_id, const int64 *issue_ids, int n, bool lock)
{
	static SqlStatement read_issues = {READ_ISSUES, 2, {INT8ARRAYOID, INT8OID}};
	static SqlStatement lock_issues = {READ_ISSUES "FOR NO KEY UPDATE OF i", 2, {INT8ARRAYOID, INT8OID}};
	Datum		values[2] = {sql_int8_array(issue_ids, n), Int64GetDatum(user_id)};
	Coupon	   *coupons = palloc0(n * sizeof(Coupon));
	uint64		found;
	uint64		row = 0;

	SPI_connect();
	found = sql_execute(lock ? &lock_issues : &read_issues, values, NULL);
	for (int i = 0; i < n; i++)
	{
		Coupon	   *coupon = &coupons[i];
		const char *status;

		/* somebody else's coupon is not told from one that does not exist */
		if (row >= found || sql_int64(row, 1) != issue_ids[i])
			raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", issue_ids[i]),
						D_TEXT("reason", "the coupon is not the user's"));
		coupon->issue_id = issue_ids[i];
		coupon->kind = find_label(kind_labels, lengthof(kind_labels), sql_text(row, 2));
		coupon->scope = find_label(scope_labels, lengthof(scope_labels), sql_text(row, 3));
		coupon->value = sql_int64(row, 4);
		coupon->max_discount = sql_int64(row, 5);
		coupon->round_unit = sql_int64(row, 6);
		coupon->min_order_amount = sql_int64(row, 7);
		coupon->seller_id = sql_int64(row, 8);
		coupon->product_id = sql_int64(row, 9);
		status = sql_text(row, 10);
		if (strcmp(status, "ACTIVE") != 0)
			raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", coupon->issue_id),
						D_TEXT("reason", psprintf("the coupon is %s", status)));
		/* it may have expired while its row was waited for */
		if (sql_time(row, 11) <= GetCurrentTimestamp())
			raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", coupon->issue_id),
						D_TEXT("reason", "the coupon has expired"));
		row++;
	}
	SPI_finish();
	return coupons;
}

void
coupon_use(const Coupon *coupons, int n, int64 order_id)
{
	static SqlStatement use_issue = {
		"WITH used AS ("
		"  UPDATE commerce.coupon_issues AS i SET status = 'USED', used_at = pg_catalog.now(), used_order_id = $2, "
		"  event_key = greatest(i.event_key, pg_catalog.pg_current_xact_id()) "
		"  WHERE i.id OPERATOR(pg_catalog.=) $1 RETURNING i.*), "
		"recorded AS ("
		"  INSERT INTO commerce.order_coupons (order_id, coupon_issue_id, discount) VALUES ($2, $1, $3)) "
		"SELECT commerce_private.coupon_event(used::commerce.coupon_issues, 'CouponUsed') FROM used",
		3, {INT8OID, INT8OID, INT8OID}
	};

	SPI_connect();
	for (int i = 0; i < n; i++)
	{
		Datum		values[3];

		values[0] = Int64GetDatum(coupons[i].issue_id);
		values[1] = Int64GetDatum(order_id);
		values[2] = Int64GetDatum(coupons[i].discount);
		sql_execute(&use_issue, values, NULL);
	}
	SPI_finish();
}

UsedCoupon *
coupon_read_used(int64 order_id, int *n)
{
	static SqlStatement read = {
		"SELECT u.coupon_issue_id, c.scope, coalesce(c.seller_id, 0), u.restored_at IS NULL "
		"FROM commerce.order_coupons u JOIN commerce.coupon_issues i ON i.id OPERATOR(pg_catalog.=) u.coupon_issue_id "
		"JOIN commerce.coupons c ON c.id OPERATOR(pg_catalog.=) i.coupon_id "
		"WHERE u.order_id OPERATOR(pg_catalog.=) $1 ORDER BY u.coupon_issue_id",
		1, {INT8OID}
	};
	MemoryContext caller = CurrentMemoryContext;
	Datum		id = Int64GetDatum(order_id);
	UsedCoupon *coupons;
	int			found;

	SPI_connect();
	found = (int) sql_execute(&read, &id, NULL);
	coupons = MemoryContextAlloc(caller, (found + 1) * sizeof(UsedCoupon));
	*n = 0;
	for (int i = 0; i < found; i++)
	{
		UsedCoupon *coupon = &coupons[*n];

		if (!sql_bool(i, 4))
			continue;
		coupon->issue_id = sql_int64(i, 1);
		coupon->scope = find_label(scope_labels, lengthof(scope_labels), sql_text(i, 2));
		coupon->seller_id = sql_int64(i, 3);
		(*n)++;
	}
	SPI_finish();
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
		"  event_key = greatest(i.event_key, pg_catalog.pg_current_xact_id()) "
		"  WHERE i.id OPERATOR(pg_catalog.=) $1 RETURNING i.*), "
		"recorded AS ("
		"  UPDATE commerce.order_coupons AS c SET restored_at = pg_catalog.now() "
		"  WHERE c.order_id OPERATOR(pg_catalog.=) $2 AND c.coupon_issue_id OPERATOR(pg_catalog.=) $1) "
		"SELECT commerce_private.coupon_event(restored::commerce.coupon_issues, 'CouponRestored'), "
		"CASE WHEN restored.status OPERATOR(pg_catalog.=) 'EXPIRED' "
		"  THEN commerce_private.coupon_event(restored::commerce.coupon_issues, 'CouponExpired') END FROM restored",
		2, {INT8OID, INT8OID}
	};

	SPI_connect();
	for (int i = 0; i < n; i++)
	{
		Datum		values[2] = {Int64GetDatum(coupons[i].issue_id), Int64GetDatum(order_id)};

		sql_execute(&restore, values, NULL);
	}
	SPI_finish();
}

bool
coupon_use_again(int64 order_id)
{
	static SqlStatement lock = {
		"SELECT i.id, i.status OPERATOR(pg_catalog.=) 'ACTIVE' "
		"  AND i.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() "
		"FROM commerce.order_coupons u JOIN commerce.coupon_issues i ON i.id OPERATOR(pg_catalog.=) u.coupon_issue_id "
		"WHERE u.order_id OPERATOR(pg_catalog.=) $1 ORDER BY i.id FOR NO KEY UPDATE OF i",
		1, {INT8OID}
	};
	static SqlStatement use_issue = {
		"WITH used AS ("
		"  UPDATE commerce.coupon_issues AS i SET status = 'USED', used_at = pg_catalog.now(), used_order_id = $2, "
		"  event_key = greatest(i.event_key, pg_catalog.pg_current_xact_id()) "
		"  WHERE i.id OPERATOR(pg_catalog.=) $1 RETURNING i.*), "
		"recorded AS ("
		"  UPDATE commerce.order_coupons AS c SET restored_at = NULL "
		"  WHERE c.order_id OPERATOR(pg_catalog.=) $2 AND c.coupon_issue_id OPERATOR(pg_catalog.=) $1) "
		"SELECT commerce_private.coupon_event(used::commerce.coupon_issues, 'CouponUsed') FROM used",
		2, {INT8OID, INT8OID}
	};
	Datum		values[2] = {(Datum) 0, Int64GetDatum(order_id)};
	bool		usable = true;
	int64	   *ids;
	int			n;

	SPI_connect();
	n = (int) sql_execute(&lock, &values[1], NULL);
	ids = palloc((n + 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
	{
		ids[i] = sql_int64(i, 1);
		usable = usable && sql_bool(i, 2);
	}
	for (int i = 0; usable && i < n; i++)
	{
		values[0] = Int64GetDatum(ids[i]);
		sql_execute(&use_issue, values, NULL);
	}
	SPI_finish();
	return usable;
}

/*
 * open_quota(coupon_id bigint, quantity bigint)
 *
 * Gives a coupon that this transaction has created its narrow row.
 */
Datum
commerce_open_quota(PG_FUNCTION_ARGS)
{
	Datum		values[3];

	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);
	values[2] = FullTransactionIdGetDatum(FullTransactionIdFromU64(0));
	row_insert("coupon_quota", 3, values, NULL);
	PG_RETURN_VOID();
}

typedef struct Issue
{
	int64		user_id;
	int64		coupon_id;
	char	   *name;
	char	   *description;	/* NULL: none */
	char	   *kind;
	int64		value;
	TimestampTz expires_at;
} Issue;

static void
refuse_second_claim(const Issue *issue)
{
	raise_error(ERROR_COUPON_ALREADY_CLAIMED, D_INT("coupon_id", issue->coupon_id));
}

/* Inserts the row and returns it; that the user has one already is found by the unique constraint. */
static Datum
insert_issue_row(const Issue *issue, int64 issue_id)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[ISSUE_COLUMNS] = {0};
	bool		nulls[ISSUE_COLUMNS] = {false};
	Datum		xid = FullTransactionIdGetDatum(GetTopFullTransactionId());
	Datum		row = (Datum) 0;

	values[0] = Int64GetDatum(issue_id);
	values[1] = Int64GetDatum(issue->user_id);
	values[2] = Int64GetDatum(issue->coupon_id);
	values[3] = CStringGetTextDatum(issue->name);
	nulls[4] = (issue->description == NULL);
	if (issue->description)
		values[4] = CStringGetTextDatum(issue->description);
	values[5] = ObjectIdGetDatum(commerce_enum_value("coupon_kind", issue->kind));
	values[6] = Int64GetDatum(issue->value);
	values[7] = ObjectIdGetDatum(commerce_enum_value("coupon_issue_status", "ACTIVE"));
	values[8] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[9] = TimestampTzGetDatum(issue->expires_at);
	nulls[10] = true;			/* used_at */
	nulls[11] = true;			/* used_order_id */
	values[12] = xid;			/* event_key */
	values[13] = xid;

	PG_TRY();
	{
		row = row_insert_returning("coupon_issues", ISSUE_COLUMNS, values, nulls);
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
	return row;
}

static void
write_issued_event(const Issue *issue, int64 issue_id)
{
	JsonWriter	json = {0};
	Event		event = {"CouponIssue", psprintf(INT64_FORMAT, issue_id), "CouponIssued"};

	json_open_object(&json, NULL);
	json_put_int(&json, "id", issue_id);
	json_put_int(&json, "user_id", issue->user_id);
	json_put_int(&json, "coupon_id", issue->coupon_id);
	json_put_text(&json, "name", issue->name);
	json_put_text(&json, "description", issue->description);
	json_put_text(&json, "kind", issue->kind);
	json_put_int(&json, "value", issue->value);
	json_put_text(&json, "status", "ACTIVE");
	json_put_time(&json, "issued_at", GetCurrentTransactionStartTimestamp());
	json_put_time(&json, "expires_at", issue->expires_at);
	json_put_text(&json, "used_at", NULL);
	json_put_text(&json, "used_order_id", NULL);
	json_close_object(&json);
	event.payload = json_finish(&json);
	event.key = outbox_first_key();
	outbox_write(&event, 1);
}

/* Whether the user has the coupon, as the active snapshot shows it. */
static bool
has_claimed(const Issue *issue)
{
	int64		keys[2] = {issue->user_id, issue->coupon_id};
	RowReader	issues;
	bool		found;

	row_reader_open(&issues, "coupon_issues", "coupon_issues_user_coupon_key", 2);
	row_reader_seek(&issues, keys);
	found = row_reader_next(&issues);
	row_reader_close(&issues);
	return found;
}

/* Whether a coupon can be claimed now, but for its quota. */
static bool
is_open(RowReader *coupon)
{
	TimestampTz now = GetCurrentTimestamp();

	return row_is_null(coupon, COUPONS_STOPPED_AT) &&
		row_int64(coupon, COUPONS_ISSUE_FROM) <= now &&
		(row_is_null(coupon, COUPONS_ISSUE_UNTIL) || row_int64(coupon, COUPONS_ISSUE_UNTIL) > now) &&
		(row_is_null(coupon, COUPONS_VALID_UNTIL) || row_int64(coupon, COUPONS_VALID_UNTIL) > now);
}

/* Reads what the issue of a coupon says, or raises the reason for which there can be none. */
static void
read_coupon(Issue *issue)
{
	RowReader	coupon;
	bool		isnull;

	row_push_snapshot();
	row_reader_open(&coupon, "coupons", "coupons_pkey", 1);
	row_reader_seek(&coupon, &issue->coupon_id);
	if (!row_reader_next(&coupon))
		raise_not_found("coupon", issue->coupon_id);
	if (has_claimed(issue))
		refuse_second_claim(issue);
	if (!is_open(&coupon))
		raise_error(ERROR_COUPON_NOT_CLAIMABLE, D_INT("coupon_id", issue->coupon_id));
	issue->name = row_text(&coupon, COUPONS_NAME);
	issue->description = row_text(&coupon, COUPONS_DESCRIPTION);
	issue->kind = DatumGetCString(DirectFunctionCall1(enum_out, row_datum(&coupon, COUPONS_KIND, &isnull)));
	issue->value = row_int64(&coupon, COUPONS_VALUE);
	if (row_is_null(&coupon, COUPONS_VALID_UNTIL))
		issue->expires_at = calendar_days_from_now(DatumGetInt32(row_datum(&coupon, COUPONS_VALID_DAYS, &isnull)));
	else
		issue->expires_at = row_int64(&coupon, COUPONS_VALID_UNTIL);
	row_reader_close(&coupon);
	PopActiveSnapshot();
}

/*
 * claim_coupon(user_id bigint, coupon_id bigint)
 *
 * Gives an active user one of a coupon and returns the coupon_issues row.
 */
Datum
commerce_claim_coupon(PG_FUNCTION_ARGS)
{
	Issue		issue = {0};
	int64		issue_id;
	int64		available;
	Datum		row;

	gate_enter("claim_coupon()");
	if (PG_ARGISNULL(0))
		raise_invalid("user_id", "must not be null");
	if (PG_ARGISNULL(1))
		raise_invalid("coupon_id", "must not be null");
	issue.user_id = PG_GETARG_INT64(0);
	issue.coupon_id = PG_GETARG_INT64(1);

	user_require_active(issue.user_id, false);
	read_coupon(&issue);
	if (escrow_surely_short(ESCROW_QUOTA, issue.coupon_id, 1, &available))
		raise_error(ERROR_COUPON_SOLD_OUT, D_INT("coupon_id", issue.coupon_id));
	if (!escrow_take(ESCROW_QUOTA, issue.coupon_id, 1, &available))
	{
		/* we may have waited for a claim of this very user */
		PushActiveSnapshot(GetLatestSnapshot());
		if (has_claimed(&issue))
			refuse_second_claim(&issue);
		PopActiveSnapshot();
		raise_error(ERROR_COUPON_SOLD_OUT, D_INT("coupon_id", issue.coupon_id));
	}
	issue_id = commerce_nextval("coupon_issues_id_seq");
	row = insert_issue_row(&issue, issue_id);
	write_issued_event(&issue, issue_id);
	PG_RETURN_DATUM(row);
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
		"  event_key = greatest(i.event_key, pg_catalog.pg_current_xact_id()) "
		"  FROM due WHERE i.id OPERATOR(pg_catalog.=) due.id RETURNING i.*) "
		"SELECT commerce_private.coupon_event(expired::commerce.coupon_issues, 'CouponExpired') FROM expired",
		2, {INT8ARRAYOID, TIMESTAMPTZOID}
	};
	Datum		values[2] = {sql_int8_array(issue_ids, n), TimestampTzGetDatum(GetCurrentTimestamp())};
	uint64		expired;

	SPI_connect();
	expired = sql_execute(&expire, values, NULL);
	SPI_finish();
	return (int) expired;
}

/*
 * expire_coupons(max_rows int)
 *
 * Marks at most max_rows overdue coupon issues that nobody is working on, and returns how many.
 */
Datum
commerce_expire_coupons(PG_FUNCTION_ARGS)
{
	static const Sweep expire = {"overdue coupon issue", "marked expired", expire_issues, NULL};
	static SqlStatement find = {
		"SELECT i.id FROM commerce.coupon_issues i WHERE i.status OPERATOR(pg_catalog.=) 'ACTIVE' "
		"AND i.expires_at OPERATOR(pg_catalog.<=) $1 ORDER BY i.expires_at LIMIT $2",
		2, {TIMESTAMPTZOID, INT8OID}
	};
	Datum		values[2];
	int64	   *ids;
	int			n;

	gate_enter("expire_coupons()");
	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		raise_invalid("max_rows", "must be 1 or more");
	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = Int64GetDatum(PG_GETARG_INT32(0));
	ids = sql_ids(&find, values, &n);
	PG_RETURN_INT32(sweep(&expire, ids, n));
}
