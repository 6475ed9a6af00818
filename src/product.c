/*
 * product.c
 *	  Products as orders need them; reads commerce.products and commerce.promotions.
 *
 * No row is locked: an order is made at the prices that its snapshot sees.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "error.h"
#include "product.h"
#include "spi_util.h"

Product *
product_read(const int64 *ids, int n)
{
	static SqlStatement read_products = {
		"SELECT p.id, coalesce(p.seller_id, 0), p.name, p.price, "
		"greatest(p.discount, (SELECT pg_catalog.max(CASE m.kind WHEN 'FIXED' THEN m.value "
		"  ELSE (p.price OPERATOR(pg_catalog./) 100) OPERATOR(pg_catalog.*) m.value OPERATOR(pg_catalog.+) "
		"       ((p.price OPERATOR(pg_catalog.%) 100) OPERATOR(pg_catalog.*) m.value OPERATOR(pg_catalog./) 100) END) "
		"  FROM commerce.promotions m WHERE m.product_id OPERATOR(pg_catalog.=) p.id "
		"  AND m.starts_at OPERATOR(pg_catalog.<=) pg_catalog.statement_timestamp() "
		"  AND m.ends_at OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp())), "
		"p.shipping_fee, coalesce(p.max_per_order, 0), p.status OPERATOR(pg_catalog.=) 'ON_SALE' "
		"FROM commerce.products p WHERE p.id OPERATOR(pg_catalog.=) ANY ($1)",
		1, {INT8ARRAYOID}
	};
	MemoryContext caller = CurrentMemoryContext;
	Product    *products = palloc0(n * sizeof(Product));
	Datum	   *elements = palloc(n * sizeof(Datum));
	Datum		array;
	uint64		found;

	for (int i = 0; i < n; i++)
	{
		products[i].id = ids[i];
		elements[i] = Int64GetDatum(ids[i]);
	}
	array = PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));

	SPI_connect();
	found = sql_execute(&read_products, &array, NULL);
	for (uint64 row = 0; row < found; row++)
	{
		int64		id = sql_int64(row, 1);
		int			low = 0;
		int			high = n - 1;
		Product    *product;

		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (products[middle].id < id)
				low = middle + 1;
			else
				high = middle;
		}
		product = &products[low];
		product->seller_id = sql_int64(row, 2);
		product->name = MemoryContextStrdup(caller, sql_text(row, 3));
		product->price = sql_int64(row, 4);
		product->reduction = sql_int64(row, 5);
		product->shipping_fee = sql_int64(row, 6);
		product->max_per_order = sql_int64(row, 7);
		product->on_sale = sql_bool(row, 8);
	}
	SPI_finish();

	for (int i = 0; i < n; i++)
		if (products[i].name == NULL)
			raise_error(ERROR_ENTITY_NOT_FOUND, "product " INT64_FORMAT, products[i].id);
	return products;
}
