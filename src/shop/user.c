/*
 * user.c
 *	  Users as operations meet them: who may act, and the lock on a user's row.
 *
 * A user's row is locked FOR NO KEY UPDATE, after the gate and the idempotency key, before orders, coupons and
 * products.
 *
 * What is made for a user without that lock, since many make it at once and write nothing of the row (claims, order
 * sheets), takes a lock beside it, and erase_user() takes it alone, before the row: so nothing is made for a user
 * beside the erasing.  It costs no write.  Users share LOCKS of them: one transaction may give a coupon to everybody,
 * and PostgreSQL's table of locks is small.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/key.h"
#include "base/lock.h"
#include "base/row_reader.h"
#include "base/sql.h"
#include "shop/user.h"

#define LOCKS	1024

PG_FUNCTION_INFO_V1(commerce_close_user);

/* Where a user was found last: an order and a charge read him, and change his row later. */
static RowPlace place;

/* Raises FORBIDDEN unless the user that a reader is at is ACTIVE. */
static void
require_active(RowReader *reader, int64 user_id)
{
	UserStatus	status = row_label(reader, USERS_STATUS, TYPE_USER_STATUS);

	if (status != USER_STATUS_ACTIVE)
		raise_error(ERROR_FORBIDDEN, D_INT("user_id", user_id),
					D_TEXT("status", catalog_label_name(TYPE_USER_STATUS, status)),
					D_REASON(REASON_NOT_ACTIVE));
}

/*
 * Opens a user, who must be ACTIVE, under the active snapshot; with lock also as he is when his row is locked, so that
 * who may not act is told so before he waits for anybody.
 */
static void
open_active(RowReader *reader, int64 user_id, bool lock)
{
	if (!row_reader_find(reader, TABLE_USERS, INDEX_USERS_PKEY, USERS_ID, user_id, &place, lock))
		raise_not_found("user", user_id);
	require_active(reader, user_id);
	if (!lock)
		return;
	if (!row_lock_found(reader, false))
		raise_not_found("user", user_id);
	require_active(reader, user_id);
}

User
user_read_active(int64 user_id, bool lock)
{
	User		user = {.id = user_id};
	RowReader	reader;

	row_push_snapshot();
	open_active(&reader, user_id, lock);
	user.name = row_text(&reader, USERS_NAME);
	user.phone = row_text(&reader, USERS_PHONE);
	user.address = row_text(&reader, USERS_ADDRESS);
	row_reader_close(&reader);
	PopActiveSnapshot();
	return user;
}

void
user_require_active(int64 user_id, bool lock)
{
	RowReader	reader;

	row_push_snapshot();
	open_active(&reader, user_id, lock);
	row_reader_close(&reader);
	PopActiveSnapshot();
}

void
user_require_kept(int64 user_id)
{
	RowReader	reader;

	lock_take_shared(COMMERCE_LOCK_USER, (uint64) user_id % LOCKS);

	/* with what was committed while we waited */
	row_push_latest_snapshot();
	open_active(&reader, user_id, false);
	row_reader_close(&reader);
	PopActiveSnapshot();
}

/*
 * close_user(user_id bigint)
 *
 * Waits for those who make something for the user, and keeps others from it until the transaction ends.
 */
Datum
commerce_close_user(PG_FUNCTION_ARGS)
{
	lock_take(COMMERCE_LOCK_USER, (uint64) arg_int64(fcinfo, 0, "user_id") % LOCKS);
	PG_RETURN_VOID();
}

bool
user_open(RowUpdate *user, int64 user_id, bool lock)
{
	return row_update_open(user, TABLE_USERS, USERS_COLUMNS, INDEX_USERS_PKEY, USERS_ID, user_id, &place, lock);
}

int64
user_move_event_key(int64 user_id)
{
	RowUpdate	update;
	int64		key;

	if (!user_open(&update, user_id, true))
		elog(ERROR, "user " INT64_FORMAT " does not exist", user_id);
	key = user_put_event_key(&update);
	(void) row_update_close(&update);
	return key;
}

int64
user_put_event_key(RowUpdate *user)
{
	int64		own = current_key();
	int64		last = row_int64(&user->reader, USERS_EVENT_KEY);
	int64		key = Max(last, own);

	row_update_put_int64(user, USERS_EVENT_KEY, key);
	return key;
}

bool
user_is_active(int64 user_id)
{
	static SqlStatement find = {
		"SELECT FROM commerce.users u WHERE u.id OPERATOR(pg_catalog.=) $1 AND u.status OPERATOR(pg_catalog.=) 'ACTIVE'",
		1, {INT8OID}, SQL_LATEST
	};

	return sql_exists(&find, SQL_ARGS(Int64GetDatum(user_id)));
}

bool
user_lock(int64 user_id, bool skip_locked)
{
	return row_lock(TABLE_USERS, INDEX_USERS_PKEY, USERS_ID, user_id, &place, skip_locked);
}
