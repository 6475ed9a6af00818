/*
 * returns.h
 *	  What came back from a buyer.
 */
#ifndef COMMERCE_RETURNS_H
#define COMMERCE_RETURNS_H

#include "shop/order.h"

/*
 * Completes the return of an item, or of quantity units of it (0: all); *item becomes the item that was returned.
 * Returns the orders row.
 */
extern Datum return_complete(Order *order, OrderItem **item, int64 quantity, bool restock, int64 deduction,
							 const Actor *actor);

/*
 * Completes an exchange for a product (0: for the same), and answers the item that was exchanged.  Raises
 * STOCK_NOT_ENOUGH, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, INVALID_REQUEST, INVALID_STATE_TRANSITION.
 */
extern OrderItem *exchange_complete(Order *order, OrderItem *item, int64 quantity, bool restock, int64 replacement_id,
									const Actor *actor);

#endif
