/*
 * overdue.h
 *	  Unpaid orders, and those whose time is over.
 */
#ifndef COMMERCE_OVERDUE_H
#define COMMERCE_OVERDUE_H

#include "shop/order.h"

/* Why an unpaid order is ended. */
typedef struct UnpaidEnd
{
	PaymentStatus payment_status;
	StockReason stock_reason;
	Actor		actor;
	text	   *provider_event_id;	/* NULL: the payment provider did not say so */
} UnpaidEnd;

extern const UnpaidEnd unpaid_expired;

/*
 * Cancels n pending orders that order_lock() has locked: their payments, items and coupons, and, when
 * all of that is done, their stock by ascending product.  Stores the row of the last one in *row unless
 * that is NULL.
 */
extern void unpaid_end(Order **orders, int n, const UnpaidEnd *end, Datum *row);

/* The overdue orders that hold any of n products, by ascending id. */
extern int64 *overdue_find(const int64 *product_ids, int n, int *norders);

/* The overdue orders of a user that hold any of n coupons, by ascending id. */
extern int64 *overdue_find_coupons(int64 user_id, const int64 *coupon_issue_ids, int n, int *norders);

/*
 * Locks an order that was found to be overdue, as order_lock() does; NULL when it is not overdue any more, or
 * *busy: somebody else is working on it or its user.  Never waits.
 */
extern Order *overdue_lock(int64 order_id, bool *busy);

#endif
