/*
 * stock.h
 *	  Stock of products.
 */
#ifndef COMMERCE_STOCK_H
#define COMMERCE_STOCK_H

#include "base/schema.h"

typedef struct StockMove
{
	int64		product_id;
	int64		units;			/* > 0 */
	int64		order_item_id;
} StockMove;

/*
 * Whether taking and giving units locks a row per product until the transaction ends, as it does
 * without shared memory.
 */
extern bool stock_locks_rows(void);

/* Whether units of a product are known not to be had at once, found out without waiting and without locks. */
extern bool stock_is_short(int64 product_id, int64 units);

/* The same of units that cannot be had whatever becomes of running transactions. */
extern bool stock_is_surely_short(int64 product_id, int64 units);

/* The same; *available says then how many there are. */
extern bool stock_find_short(int64 product_id, int64 units, int64 *available);

/* Raises STOCK_NOT_ENOUGH. */
pg_noreturn extern void stock_raise_short(int64 product_id, int64 units, int64 available);

/*
 * Takes units of a product for this transaction, or answers false when there are fewer: *available.  Products by
 * ascending id.
 */
extern bool stock_try_take(int64 product_id, int64 units, int64 *available);

/* The same, but waits for units of other cells; raises SERVICE_BUSY when they may have some, and these do not come. */
extern bool stock_take_anywhere(int64 product_id, int64 units, int64 *available);

/*
 * Locks the narrow rows of n products, by ascending id, until the transaction ends: who holds them may
 * give and take units of these products in any order.
 */
extern void stock_lock(const int64 *product_ids, int n);

/* Writes the journal of what was taken with stock_try_take(). */
extern void stock_record(const StockMove *moves, int nmoves, StockReason reason);

/* What is available of a product at this moment, own takes and gives counted. */
extern int64 stock_available(int64 product_id);

/* Adds units that somebody (0: a trusted caller) has got, with their journal.  Raises INVALID_REQUEST above the limit. */
extern void stock_add(int64 product_id, int64 units, int64 actor_id, text *note);

/* Writes the journal of units that were taken with stock_try_take() to be no more. */
extern void stock_record_removed(int64 product_id, int64 units, int64 actor_id, text *note);

/* Gives units back, with their journal; products by ascending id. */
extern void stock_give(const StockMove *moves, int nmoves, StockReason reason);

#endif
