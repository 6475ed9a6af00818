/*
 * adjust.c
 *	  Changing a product's stock by hand.
 *
 * Overdue orders give way to units that are taken off, as they do to an order (make_way.c).
 *
 * Lock order: as make_way.c's; the caller has locked nothing but its idempotency key.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/args.h"
#include "base/error.h"
#include "shop/make_way.h"
#include "shop/stock.h"

PG_FUNCTION_INFO_V1(commerce_move_stock);

static void
remove_units(int64 product_id, int64 units, int64 actor_id, text *note)
{
	QuoteRequest request = {.nproducts = 1, .product_ids = &product_id, .units = &units};
	int64		available;

	(void) make_way(0, &request);
	while (!stock_try_take(product_id, units, &available))
		if (!make_way_at_once(product_id, units))
		{
			if (!stock_take_anywhere(product_id, units, &available))
				stock_raise_short(product_id, units, available);
			break;
		}
	stock_record_removed(product_id, units, actor_id, note);
}

/*
 * move_stock(product_id bigint, delta bigint, actor_id bigint, note text)
 */
Datum
commerce_move_stock(PG_FUNCTION_ARGS)
{
	int64		product_id = arg_int64(fcinfo, 0, "product_id");
	int64		delta = arg_int64(fcinfo, 1, "delta");
	int64		actor_id = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
	text	   *note = arg_text_or_null(fcinfo, 3, "note");

	if (delta > 0)
		stock_add(product_id, delta, actor_id, note);
	else if (delta < 0)
		remove_units(product_id, -delta, actor_id, note);
	PG_RETURN_INT64(stock_available(product_id));
}
