/*
 * user.c
 *	  Users as operations meet them: who may act, and the lock on a user's row.
 *
 * A user's row is locked FOR NO KEY UPDATE, after the gate and the idempotency key, before orders, coupons and
 * products.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/row_reader.h"
#include "base/sql.h"
#include "shop/user.h"

User
user_read_active(int64 user_id, bool lock)
{
	User		user = {.id = user_id};
	RowReader	reader;
	UserStatus	status;

	if (lock)
		(void) user_lock(user_id, false);
	row_push_snapshot();
	row_reader_open(&reader, TABLE_USERS, INDEX_USERS_PKEY, 1);
	row_reader_seek(&reader, &user_id);
	if (!row_reader_next(&reader))
		raise_not_found("user", user_id);
	status = row_label(&reader, USERS_STATUS, TYPE_USER_STATUS);
	if (status != USER_STATUS_ACTIVE)
		raise_error(ERROR_FORBIDDEN, D_INT("user_id", user_id),
					D_TEXT("status", catalog_label_name(TYPE_USER_STATUS, status)));
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
	(void) user_read_active(user_id, lock);
}

int64
user_move_event_key(int64 user_id)
{
	static SqlStatement update = {
		"UPDATE commerce.users AS u SET event_key = greatest(u.event_key, "
		"commerce_private.to_key(pg_catalog.pg_current_xact_id())) WHERE u.id OPERATOR(pg_catalog.=) $1 "
		"RETURNING u.event_key",
		1, {INT8OID}
	};
	int64		key = 0;

	(void) sql_get_int64(&update, SQL_ARGS(Int64GetDatum(user_id)), &key);
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
	static SqlStatement lock_user = {
		"SELECT FROM commerce.users u WHERE u.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE", 1, {INT8OID}
	};
	static SqlStatement try_lock_user = {
		"SELECT FROM commerce.users u WHERE u.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE SKIP LOCKED", 1, {INT8OID}
	};

	return sql_exists(skip_locked ? &try_lock_user : &lock_user, SQL_ARGS(Int64GetDatum(user_id)));
}
