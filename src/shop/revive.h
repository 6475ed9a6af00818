/*
 * revive.h
 *	  An order that was given up takes again what it had.
 */
#ifndef COMMERCE_REVIVE_H
#define COMMERCE_REVIVE_H

#include "shop/order.h"

/*
 * Takes for a locked order that is CANCELLED and was not paid what a new order takes: its user, products and their
 * sellers are judged, its limits per user; coupons and stock are taken, and what the balance is to pay, with a
 * payment.  False: something cannot be had, and nothing is taken.
 */
extern bool revive_try(Order *order, int64 balance_part);

/*
 * The same, but raises what is wrong: FORBIDDEN, PRODUCT_NOT_ON_SALE, PURCHASE_LIMIT_EXCEEDED, COUPON_NOT_USABLE,
 * STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH.
 */
extern void revive_or_raise(Order *order, int64 balance_part);

#endif
