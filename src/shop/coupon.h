/*
 * coupon.h
 *	  Claiming coupons and using them in orders.
 */
#ifndef COMMERCE_COUPON_H
#define COMMERCE_COUPON_H

#include "shop/pricing.h"

/*
 * Reads n coupon issues of a user by ascending, distinct ids, and with lock keeps them from being used,
 * revoked or expired until the transaction ends (the user's row is locked already).  Raises
 * COUPON_NOT_USABLE unless each is the user's, ACTIVE and in time.
 */
extern Coupon *coupon_read(int64 user_id, const int64 *issue_ids, int n, bool lock);

/*
 * Marks coupons that coupon_read() has locked USED by an order that has its row, with their order_coupons rows and events.
 */
extern void coupon_use(const Coupon *coupons, int n, int64 order_id);

/* A coupon that an order uses. */
typedef struct UsedCoupon
{
	int64		issue_id;
	CouponKind	kind;
	CouponScope scope;
	int64		seller_id;		/* 0: none */
} UsedCoupon;

/* Reads the coupons that a locked order uses and has not given back, by ascending id. */
extern UsedCoupon *coupon_read_used(int64 order_id, int *n);

/*
 * Gives coupons that coupon_read_used() has read back to their user, with their events: ACTIVE, or
 * EXPIRED when their time has passed.
 */
extern void coupon_restore(int64 order_id, const UsedCoupon *coupons, int n);

/*
 * Uses the coupons again that a locked order has given back, with their events; answers 0, or, with nothing changed
 * but locked, the issue that cannot be used now.
 */
extern int64 coupon_use_again(int64 order_id);

/* The coupon issues of an order, given back or not, by ascending id. */
extern int64 *coupon_ids_of_order(int64 order_id, int *n);

#endif
