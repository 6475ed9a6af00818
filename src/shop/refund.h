/*
 * refund.h
 *	  What comes back of an order, and which way.
 */
#ifndef COMMERCE_REFUND_H
#define COMMERCE_REFUND_H

#include "shop/order.h"

/* What is to be refunded of the shipping now that n items have been cancelled. */
extern int64 refund_of_shipping(const Order *order, OrderItem *const *items, int n);

/* What is paid of a locked order and not refunded. */
extern int64 refund_left(const Order *order);

/* What of the net of n items is for tax-exempt ones. */
extern int64 refund_tax_free(OrderItem *const *items, int n);

/*
 * Pays an amount (above 0, at most refund_left()) back, or asks for it to be paid back, with the events; the
 * order is saved already, with the amount in its refunded_amount.  tax_free_amount: what of it is for tax-exempt
 * items, as far as what is left of the payments has it; who: as in order_write_payment_event().
 */
extern void refund_pay(const Order *order, int64 amount, int64 tax_free_amount, const Actor *actor);

/* Gives back the coupons of which everything that they applied to is cancelled. */
extern void refund_coupons(const Order *order);

#endif
