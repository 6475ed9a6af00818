/*
 * import.c
 *	  The event of an order that was imported (sql/install/shop/import.sql).
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/currency.h"
#include "base/key.h"
#include "escrow/gate.h"
#include "shop/order_event.h"

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
	currency_require();
	order = order_lock(order_id, false);
	if (order == NULL)
		raise_not_found("order", order_id);
	order->event_key = current_key();
	order_write_event(order, "OrderImported");
	PG_RETURN_VOID();
}
