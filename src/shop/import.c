/*
 * import.c
 *	  What importing (sql/install/shop/import.sql) cannot do in SQL: the event of an order, which is written
 *	  here for all orders, and the row of a coupon's issue, which takes from the coupon's quota.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/key.h"
#include "base/sql.h"
#include "escrow/escrow.h"
#include "escrow/gate.h"
#include "shop/order_event.h"

PG_FUNCTION_INFO_V1(commerce_insert_imported_issue);
PG_FUNCTION_INFO_V1(commerce_write_imported);

/*
 * write_imported(order_id bigint)
 *
 * The order was inserted by this transaction.
 */
Datum
commerce_write_imported(PG_FUNCTION_ARGS)
{
	int64		order_id = PG_GETARG_INT64(0);
	Order	   *order;

	gate_enter("write_imported()");
	order = order_lock(order_id, false);
	if (order == NULL)
		raise_not_found("order", order_id);
	order->event_key = current_key();
	order_write_event(order, "OrderImported");
	PG_RETURN_VOID();
}

/*
 * insert_imported_issue(coupon_id bigint, user_id bigint, issued_at timestamptz, expires_at timestamptz)
 *
 * The coupon and the user are there.  Returns the id.
 */
Datum
commerce_insert_imported_issue(PG_FUNCTION_ARGS)
{
	static SqlStatement insert = {
		"INSERT INTO commerce.coupon_issues AS i (user_id, coupon_id, name, description, kind, value, max_discount, "
		"round_unit, min_order_amount, max_units, scope, seller_id, product_id, issued_at, expires_at, event_key) "
		"SELECT $2, c.id, c.name, c.description, c.kind, c.value, c.max_discount, c.round_unit, c.min_order_amount, "
		"c.max_units, c.scope, c.seller_id, c.product_id, $3, $4, "
		"commerce_private.to_key(pg_catalog.pg_current_xact_id()) "
		"FROM commerce.coupons c WHERE c.id OPERATOR(pg_catalog.=) $1 "
		"ON CONFLICT ON CONSTRAINT coupon_issues_user_coupon_key DO NOTHING RETURNING i.id",
		4, {INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
	};
	int64		coupon_id = PG_GETARG_INT64(0);
	int64		available;
	SqlResult	inserted;

	gate_enter("insert_imported_issue()");
	if (!escrow_take_anywhere(ESCROW_QUOTA, coupon_id, 1, &available))
		raise_error(ERROR_COUPON_SOLD_OUT, D_INT("coupon_id", coupon_id));
	inserted = gate_own_write(&insert, SQL_ARGS(Int64GetDatum(coupon_id), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2),
												PG_GETARG_DATUM(3)));
	if (!result_next(&inserted))
		raise_error(ERROR_COUPON_ALREADY_CLAIMED, D_INT("coupon_id", coupon_id));
	PG_RETURN_INT64(result_int64(&inserted, "id"));
}
