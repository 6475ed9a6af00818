/*
 * refund.h
 *	  What comes back of an order, and which way.
 */
#ifndef COMMERCE_REFUND_H
#define COMMERCE_REFUND_H

#include "shop/order.h"

/* What is to be refunded of the shipping now that n items have been cancelled. */
extern int64 refund_of_shipping(const Order *order, OrderItem *const *items, int n);

/* Pays an amount (won) back, or asks for it to be paid back, with the event; the order is saved already. */
extern void refund_pay(const Order *order, int64 amount);

/* Gives back the coupons of which everything that they applied to is cancelled. */
extern void refund_coupons(const Order *order);

#endif
