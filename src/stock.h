/*
 * stock.h
 *	  Stock of products.
 */
#ifndef COMMERCE_STOCK_H
#define COMMERCE_STOCK_H

typedef struct StockMove
{
	int64		product_id;
	int64		units;			/* > 0 */
	int64		order_item_id;
} StockMove;

/* Raises STOCK_NOT_ENOUGH when units of a product are known not to be had; changes nothing. */
extern void stock_refuse_if_short(int64 product_id, int64 units);

/* Takes units of a product for this transaction, or raises STOCK_NOT_ENOUGH; products by ascending id. */
extern void stock_take(int64 product_id, int64 units);

/* Writes the journal of what was taken with stock_take(). */
extern void stock_record_taken(const StockMove *moves, int nmoves);

/* Gives units back, with their journal; reason is a label of stock_reason; products by ascending id. */
extern void stock_give(const StockMove *moves, int nmoves, const char *reason);

#endif
