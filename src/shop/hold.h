/*
 * hold.h
 *	  Orders whose payment is pending hold stock and coupons; here they let go.
 */
#ifndef COMMERCE_HOLD_H
#define COMMERCE_HOLD_H

#include "shop/order.h"

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
 * Locks an order that was found to be overdue, as order_lock() does; NULL when it is not overdue any more, or
 * *busy: somebody else is working on it or its user.  Never waits.
 */
extern Order *hold_lock_overdue(int64 order_id, bool *busy);

/*
 * Cancels at most max_orders overdue orders, the oldest first, that nobody else is working on, and
 * answers how many.  One that cannot be is a warning, and does not keep the others.
 */
extern int	hold_end_overdue(int max_orders);

#endif
