/*
 * make_way.h
 *	  Overdue orders give way to a request that is short of what they hold.
 */
#ifndef COMMERCE_MAKE_WAY_H
#define COMMERCE_MAKE_WAY_H

#include "shop/quote.h"

/* Whether a request is short of a product, or may be. */
extern bool make_way_is_needed(const QuoteRequest *request);

/*
 * Where a user's request may be short, ends the overdue orders in its way; waits for who is at work on
 * one that is needed.  To be called before the user's row is locked.  False: there were none, so it has
 * waited for nobody.
 */
extern bool make_way(int64 user_id, const QuoteRequest *request);

/*
 * The same for units of one product that others have been quicker to take, while products are being
 * taken; does not wait.  False: it was no use to try.
 */
extern bool make_way_at_once(int64 product_id, int64 units);

/*
 * Ends the overdue orders that hold units of a product, and that nobody has, when fewer than so many are to be had at
 * once, also when they will not be as many then; does not wait.  To be called before a product is locked.
 */
extern void make_way_partly(int64 product_id, int64 units);

/*
 * Ends the overdue orders of a user that hold coupons of his request, which is not to be told that they are
 * used.  To be called when the user's row is locked.
 */
extern void make_way_for_coupons(int64 user_id, const QuoteRequest *request);

#endif
