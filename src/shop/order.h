/*
 * order.h
 *	  Orders: their rows, and how they are locked, split and saved.
 */
#ifndef COMMERCE_ORDER_H
#define COMMERCE_ORDER_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "shop/order_item.h"
#include "shop/payment.h"
#include "shop/pricing.h"

/* Whom an order is delivered to; NULL: not known. */
typedef struct Recipient
{
	char	   *name;
	char	   *phone;
	char	   *address;
	char	   *memo;
} Recipient;

/* An order that is being made, or that order_lock() has read. */
typedef struct Order
{
	int64		id;
	int64		user_id;
	OrderStatus status;
	PaymentMethod method;
	TimestampTz created_at;
	TimestampTz paid_at;		/* 0: not yet */
	TimestampTz expires_at;		/* 0: not pending */
	int64		refunded_amount;
	Recipient	recipient;
	Jsonb	   *metadata;		/* NULL: none */
	bool		imported;		/* over before the shop moved here */
	Totals		totals;
	int			nitems;
	OrderItem  *items;			/* by seq */
	int64		event_key;
} Order;

/* Inserts the row of a new order, and returns it as a composite datum. */
extern Datum order_insert(const Order *order);

/* The user whose order it is; 0 when there is none. */
extern int64 order_user(int64 order_id);

/*
 * Locks the row of the order's user, then the order's, until the transaction ends, and reads the order
 * with its items; NULL when there is none.  With skip_locked, NULL also when somebody else has either
 * row: then it never waits.
 */
extern Order *order_lock(int64 order_id, bool skip_locked);

/* The row of an order as it is, as a composite datum. */
extern Datum order_row(int64 order_id);

/*
 * How many orders of a user, whose row is locked, wait for their payment and are not overdue; and one of those
 * that hold so many units of a product (0: they hold fewer).
 */
extern int64 order_count_unpaid(int64 user_id);
extern int64 order_find_unpaid(int64 user_id, int64 product_id, int64 units);

/* Stores the recipient, with the order's next event key, and returns the row as a composite datum. */
extern Datum order_store_recipient(Order *order);

/*
 * What of a payment of an order is for tax-exempt lines: of a provider's its share, rounded down, and of the balance's
 * the rest.
 */
extern int64 order_tax_free_part(const Order *order, PaymentMethod method, int64 amount);

/* The id in an orders row. */
extern int64 order_row_id(Datum row);

/* The orders row that a call with the same idempotency key returned (jsonb). */
extern Datum order_stored(Datum stored);

/* An item that is not in the order is NULL. */
extern OrderItem *order_find_item(const Order *order, int64 item_id);

/* Pointers to all items of an order. */
extern OrderItem **order_all_items(const Order *order);

/*
 * Splits quantity units (less than it has) off an item, as a new item of the same status, with its share
 * of the line's money, and returns it.  Of each row of an order that
 * order_lock() has read at most one part.
 */
extern OrderItem *order_split_item(Order *order, OrderItem *item, int64 quantity);

/*
 * Derives the order's status from its items, stores what has changed of the order (status, paid_at,
 * expires_at while it is pending, refunded_amount), sets its event_key, and returns the row as a composite datum.
 */
extern Datum order_save(Order *order);

#endif
