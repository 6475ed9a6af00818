/*
 * hold.h
 *	  Orders whose payment is pending hold stock and coupons; here they let go.
 */
#ifndef COMMERCE_HOLD_H
#define COMMERCE_HOLD_H

#include "order.h"

/* Why holds are let go; labels are those of the SQL types. */
typedef struct HoldEnd
{
	const char *payment_status;
	const char *stock_reason;
	Actor		actor;
	text	   *provider_event_id;	/* NULL: the payment provider did not say so */
} HoldEnd;

extern const HoldEnd hold_expired;

/*
 * Cancels n pending orders that order_lock() has locked: their payments, items and coupons, and, when
 * all of that is done, their stock by ascending product.  Stores the row of the last one in *row unless
 * that is NULL.
 */
extern void hold_end(Order **orders, int n, const HoldEnd *end, Datum *row);

/*
 * Cancels at most max_orders overdue orders, the oldest first, that nobody else is working on, and
 * answers how many.
 */
extern int	hold_end_overdue(int max_orders);

/*
 * The same for those that hold any of n products, which an order of this quote needs.  The buyer's row is
 * locked first, when there is something to do, unless buyer_id is 0: then the quote's products are
 * being taken already.
 */
extern int	hold_end_overdue_of(const int64 *product_ids, int n, const Quote *quote, int64 buyer_id);

#endif
