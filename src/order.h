/*
 * order.h
 *	  Orders as rows and as events.
 */
#ifndef COMMERCE_ORDER_H
#define COMMERCE_ORDER_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "pricing.h"

typedef enum PaymentMethod
{
	PAYMENT_BALANCE,
	PAYMENT_EXTERNAL,
} PaymentMethod;

extern const char *const payment_method_labels[2];

typedef struct OrderItem
{
	int64		id;
	int			seq;
	const char *status;			/* label of order_item_status */
	const QuoteLine *line;
} OrderItem;

/* An order that is being made.  Money in won; labels are those of the SQL types. */
typedef struct Order
{
	int64		id;
	int64		user_id;
	const char *status;			/* label of order_status */
	PaymentMethod method;
	TimestampTz created_at;
	TimestampTz paid_at;		/* 0: not yet */
	TimestampTz expires_at;		/* 0: not pending */
	const Quote *quote;
	int			nitems;
	OrderItem  *items;
	uint64		event_key;
	int64		payment_id;
} Order;

/*
 * Makes an order of a quote: takes its stock, uses its coupons, and pays it from the balance, or, when
 * method is PAYMENT_EXTERNAL, holds it until the payment is confirmed.  Writes all of its rows and
 * events.  Returns the orders row as a composite datum.  The user's row is locked when the quote has
 * coupons, which are then locked too.  Raises STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH, ENTITY_NOT_FOUND,
 * FORBIDDEN.
 */
extern Datum order_place(int64 user_id, const Quote *quote, PaymentMethod method);

/* Inserts the rows of orders (returned), order_items, order_item_events and payments. */
extern Datum order_insert(Order *order);

/* Writes the events of an order that has just been made. */
extern void order_write_events(const Order *order);

#endif
