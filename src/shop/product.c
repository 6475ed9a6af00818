/*
 * product.c
 *	  Products as orders need them; reads commerce.products and commerce.promotions.
 *
 * No row is locked: an order is made at the prices that its snapshot sees.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/row_reader.h"
#include "shop/product.h"

/* What a product's best running promotion takes off a unit's price; 0 when none runs. */
static int64
best_promotion(RowReader *promotions, int64 product_id, int64 price)
{
	TimestampTz now = GetCurrentStatementStartTimestamp();
	int64		best = 0;

	row_reader_seek(promotions, &product_id);
	while (row_reader_next(promotions))
	{
		int64		value = row_int64(promotions, PROMOTIONS_VALUE);

		if (row_int64(promotions, PROMOTIONS_STARTS_AT) > now || row_int64(promotions, PROMOTIONS_ENDS_AT) <= now)
			continue;
		if (row_label(promotions, PROMOTIONS_KIND, TYPE_COUPON_KIND) != COUPON_KIND_FIXED)
			value = pricing_percent_of(price, value);
		best = Max(best, value);
	}
	return best;
}

Product *
product_read(const int64 *ids, int n)
{
	Product    *products = palloc0(n * sizeof(Product));
	RowReader	rows;
	RowReader	promotions;

	row_push_snapshot();
	row_reader_open(&rows, TABLE_PRODUCTS, INDEX_PRODUCTS_PKEY, 1);
	row_reader_open(&promotions, TABLE_PROMOTIONS, INDEX_PROMOTIONS_PRODUCT_ID_IDX, 1);
	for (int i = 0; i < n; i++)
	{
		Product    *product = &products[i];

		row_reader_seek(&rows, &ids[i]);
		if (!row_reader_next(&rows))
			raise_not_found("product", ids[i]);
		product->id = ids[i];
		product->seller_id = row_int64(&rows, PRODUCTS_SELLER_ID);
		product->name = row_text(&rows, PRODUCTS_NAME);
		product->price = row_int64(&rows, PRODUCTS_PRICE);
		product->reduction = Max(row_int64(&rows, PRODUCTS_DISCOUNT), best_promotion(&promotions, ids[i], product->price));
		product->shipping_fee = row_int64(&rows, PRODUCTS_SHIPPING_FEE);
		product->max_per_order = row_int64(&rows, PRODUCTS_MAX_PER_ORDER);
		product->on_sale = row_label(&rows, PRODUCTS_STATUS, TYPE_PRODUCT_STATUS) == PRODUCT_STATUS_ON_SALE;
	}
	row_reader_close(&promotions);
	row_reader_close(&rows);
	PopActiveSnapshot();
	return products;
}
