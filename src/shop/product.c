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
#include "base/guc.h"
#include "base/row_reader.h"
#include "shop/product.h"

#define PLACES	256

/* Where products were found last, by their ids: those that sell are read again and again. */
static RowPlace places[PLACES];

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

/* What a product has of its seller: whether he sells, and, where it has no fee of its own, his shipping policy. */
static void
apply_seller(Product *product, RowReader *sellers)
{
	bool		isnull;

	row_reader_seek(sellers, &product->seller_id);
	if (!row_reader_next(sellers))
		elog(ERROR, "seller " INT64_FORMAT " does not exist", product->seller_id);
	product->seller_active = DatumGetBool(row_datum(sellers, SELLERS_ACTIVE, &isnull));
	if (!product->has_own_fee)
	{
		product->free_shipping_from = row_int64(sellers, SELLERS_FREE_SHIPPING_FROM);
		/* free from 0 on is always free */
		if (product->free_shipping_from > 0 || row_is_null(sellers, SELLERS_FREE_SHIPPING_FROM))
			product->shipping_fee = row_int64(sellers, SELLERS_SHIPPING_FEE);
	}
}

/* The sellers of n products, or the shop's own policy; sellers are read only where there are any. */
static void
read_sellers(Product *products, int n)
{
	RowReader	sellers;
	bool		opened = false;

	for (int i = 0; i < n; i++)
	{
		Product    *product = &products[i];

		product->seller_active = true;
		if (product->seller_id != 0)
		{
			if (!opened)
				row_reader_open(&sellers, TABLE_SELLERS, INDEX_SELLERS_PKEY, 1);
			opened = true;
			apply_seller(product, &sellers);
		}
		else if (!product->has_own_fee)
		{
			product->shipping_fee = commerce_shipping_fee;
			product->free_shipping_from = commerce_free_shipping_from;
		}
	}
	if (opened)
		row_reader_close(&sellers);
}

Product *
product_read(const int64 *ids, int n)
{
	Product    *products = palloc0(n * sizeof(Product));
	RowReader	rows;
	RowReader	promotions;
	bool		isnull;

	row_push_snapshot();
	row_reader_open_table(&rows, TABLE_PRODUCTS);
	row_reader_open_if_any(&promotions, TABLE_PROMOTIONS, INDEX_PROMOTIONS_PRODUCT_ID_IDX, 1);
	for (int i = 0; i < n; i++)
	{
		Product    *product = &products[i];
		int64		by_promotion;

		if (!row_reader_go_to(&rows, INDEX_PRODUCTS_PKEY, PRODUCTS_ID, ids[i], &places[(uint64) ids[i] % PLACES]))
			raise_not_found("product", ids[i]);
		product->id = ids[i];
		product->seller_id = row_int64(&rows, PRODUCTS_SELLER_ID);
		product->name = row_text(&rows, PRODUCTS_NAME);
		product->price = row_int64(&rows, PRODUCTS_PRICE);
		product->reduction = row_int64(&rows, PRODUCTS_DISCOUNT);
		by_promotion = best_promotion(&promotions, ids[i], product->price);
		product->reduction = Max(product->reduction, by_promotion);
		product->has_own_fee = !row_is_null(&rows, PRODUCTS_SHIPPING_FEE);
		if (product->has_own_fee)
			product->shipping_fee = row_int64(&rows, PRODUCTS_SHIPPING_FEE);
		product->max_per_user = row_int64(&rows, PRODUCTS_MAX_PER_USER);
		product->tax_exempt = DatumGetBool(row_datum(&rows, PRODUCTS_TAX_EXEMPT, &isnull));
		product->max_per_order = row_int64(&rows, PRODUCTS_MAX_PER_ORDER);
		product->on_sale = row_label(&rows, PRODUCTS_STATUS, TYPE_PRODUCT_STATUS) == PRODUCT_STATUS_ON_SALE;
	}
	row_reader_close(&promotions);
	row_reader_close(&rows);
	read_sellers(products, n);
	PopActiveSnapshot();
	return products;
}
