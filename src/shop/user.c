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

#define USERS_STATUS	8			/* column of commerce.users */

void
user_require_active(int64 user_id, bool lock)
{
	RowReader	reader;
	bool		isnull;

	if (lock)
		(void) user_lock(user_id, false);
	row_push_snapshot();
	row_reader_open(&reader, "users", "users_pkey", 1);
	row_reader_seek(&reader, &user_id);
	if (!row_reader_next(&reader))
		raise_not_found("user", user_id);
	if (!row_enum_is(&reader, USERS_STATUS, "user_status", "ACTIVE"))
		raise_error(ERROR_FORBIDDEN, D_INT("user_id", user_id),
					D_TEXT("status", DatumGetCString(DirectFunctionCall1(enum_out, row_datum(&reader, USERS_STATUS, &isnull)))));
	row_reader_close(&reader);
	PopActiveSnapshot();
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
	Datum		id = Int64GetDatum(user_id);
	bool		locked;

	SPI_connect();
	locked = sql_execute(skip_locked ? &try_lock_user : &lock_user, &id, NULL) > 0;
	SPI_finish();
	return locked;
}
