/*
 * coupon.h
 *	  Claiming coupons and using them in orders.
 */
#ifndef COMMERCE_COUPON_H
#define COMMERCE_COUPON_H

#include "pricing.h"

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

#endif
