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

typedef enum HoldsInTheWay
{
	HOLDS_NONE,
	HOLDS_ENDED,
	HOLDS_GONE,					/* somebody else has ended them meanwhile */
	HOLDS_BUSY,					/* somebody is working on one that is needed; nothing was ended */
} HoldsInTheWay;

/*
 * The same for those that hold any of n products, which a request needs.  The buyer's row is locked first,
 * unless buyer_id is 0: then the products are being taken already.  Without pass_over, only those are
 * ended that come before the first one that somebody else is working on.  *busy, with HOLDS_BUSY: that
 * first one, for hold_wait().
 */
extern HoldsInTheWay hold_end_in_the_way(const int64 *product_ids, int n, const QuoteRequest *request,
										 int64 buyer_id, bool pass_over, int64 *busy);

/* Waits for who is working on an order, until lock_wait_end(); false when he has not ended after a while. */
extern bool hold_wait(int64 order_id, TimestampTz end);

#endif
