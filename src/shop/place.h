/*
 * place.h
 *	  Placing orders.
 */
#ifndef COMMERCE_PLACE_H
#define COMMERCE_PLACE_H

#include "shop/quote.h"
#include "shop/terms.h"
#include "shop/user.h"

/*
 * Makes an order of a quote for an active buyer: takes its stock, uses its coupons, and pays it from the balance,
 * or, when it is paid outside, holds it until the payment is confirmed.  Writes all of its rows and events.
 * Returns the orders row as a composite datum.  The user's row is locked when the quote has coupons, which are then
 * locked too, and when the order is paid outside.  Raises STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH, ENTITY_NOT_FOUND,
 * FORBIDDEN, INVALID_REQUEST.
 */
extern Datum order_place(const User *buyer, const Quote *quote, const Terms *terms);

/*
 * Judges the buyer of a new order that is paid outside, whose row is locked: raises PENDING_LIMIT_EXCEEDED when
 * commerce.max_pending_orders of his wait for their payment.
 */
extern void place_require_pending_room(int64 user_id);

#endif
