/*
 * place.h
 *	  Placing orders.
 */
#ifndef COMMERCE_PLACE_H
#define COMMERCE_PLACE_H

#include "shop/payment.h"
#include "shop/quote.h"

/*
 * Makes an order of a quote: takes its stock, uses its coupons, and pays it from the balance, or, when
 * method is PAYMENT_METHOD_EXTERNAL, holds it until the payment is confirmed.  Writes all of its rows and
 * events.  Returns the orders row as a composite datum.  The user's row is locked when the quote has
 * coupons, which are then locked too.  Raises STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH, ENTITY_NOT_FOUND,
 * FORBIDDEN.
 */
extern Datum order_place(int64 user_id, const Quote *quote, PaymentMethod method);

#endif
