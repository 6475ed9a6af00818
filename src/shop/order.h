/*
 * order.h
 *	  Orders as rows and as events.
 */
#ifndef COMMERCE_ORDER_H
#define COMMERCE_ORDER_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "base/json_writer.h"
#include "shop/pricing.h"
#include "shop/quote.h"
#include "shop/stock.h"

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
	QuoteLine  *line;
	int64		split_from;		/* id of another item; 0: none */
	TimestampTz delivered_at;	/* 0: never */
} OrderItem;

/* An order that is being made, or that order_lock() has read.  Money in won; labels are those of the SQL types. */
typedef struct Order
{
	int64		id;
	int64		user_id;
	const char *status;			/* label of order_status */
	PaymentMethod method;
	TimestampTz created_at;
	TimestampTz paid_at;		/* 0: not yet */
	TimestampTz expires_at;		/* 0: not pending */
	int64		refunded_amount;
	const Quote *quote;
	int			nitems;
	OrderItem  *items;			/* by seq */
	uint64		event_key;
	int64		payment_id;		/* of an order that is being made */
} Order;

/* Who makes a change. */
typedef struct Actor
{
	const char *kind;			/* label of actor_kind */
	int64		id;				/* 0: none given */
	const char *note;			/* NULL: none */
} Actor;

extern const Actor actor_system;

/* order.c */

/*
 * Makes an order of a quote: takes its stock, uses its coupons, and pays it from the balance, or, when
 * method is PAYMENT_EXTERNAL, holds it until the payment is confirmed.  Writes all of its rows and
 * events.  Returns the orders row as a composite datum.  The user's row is locked when the quote has
 * coupons, which are then locked too.  Raises STOCK_NOT_ENOUGH, BALANCE_NOT_ENOUGH, ENTITY_NOT_FOUND,
 * FORBIDDEN.
 */
extern Datum order_place(int64 user_id, const Quote *quote, PaymentMethod method);

/* The payment method that an argument of type payment_method names. */
extern PaymentMethod payment_method_of(Datum value);

/* The id in an orders row. */
extern int64 order_row_id(Datum row);

/* The orders row that a call with the same idempotency key returned (jsonb). */
extern Datum order_stored(Datum stored);

/* order_rows.c: new rows */

/* Inserts the rows of orders (returned), order_items, order_item_events and payments. */
extern Datum order_insert(Order *order);

/* Inserts one order_items row. */
extern void order_insert_item(const Order *order, const OrderItem *item);

/* Inserts a row of history for each of n items of an order, which came from another status (NULL: none). */
extern void order_insert_history(OrderItem *const *items, int n, const char *from, const char *to, const Actor *actor);

/* A row of commerce.payments; labels are those of the SQL types, amount is in won. */
typedef struct Payment
{
	int64		id;				/* 0: the next one is taken and set */
	const char *kind;
	PaymentMethod method;
	const char *status;
	int64		amount;
	text	   *provider_event_id;	/* NULL: none */
} Payment;

extern void payment_insert(int64 order_id, Payment *payment);

/* The payment of an order that is being made. */
extern Payment order_first_payment(const Order *order);

/* order_state.c: rows that are there */

/*
 * Locks the row of the order's user, then the order's, until the transaction ends, and reads the order
 * with its items; NULL when there is none.  With skip_locked, NULL also when somebody else has either
 * row: then it never waits.
 */
extern Order *order_lock(int64 order_id, bool skip_locked);

/* The order that an item belongs to; 0 when there is no such item. */
extern int64 order_of_item(int64 item_id);

extern OrderItem *order_find_item(Order *order, int64 item_id);

/*
 * Splits quantity units (less than it has) off an item, as a new item of the same status, with its share
 * of the line's money, and returns it.  At most once for an order that order_lock() has read.
 */
extern OrderItem *order_split_item(Order *order, OrderItem *item, int64 quantity);

/*
 * Whether commerce.order_item_transitions lets an actor of this kind take an item to a status, as a step
 * that is made with the whole order, or not.
 */
extern bool order_may_change(const OrderItem *item, const char *status, const Actor *actor, bool whole_order);

/* Raises INVALID_STATE_TRANSITION. */
pg_noreturn extern void order_refuse_change(const OrderItem *item, const char *status, const Actor *actor);

/*
 * Gives n items, all of one status, another, with their history.  Raises INVALID_STATE_TRANSITION unless
 * the actor may make the step.
 */
extern void order_set_items(OrderItem *const *items, int n, const char *status, const Actor *actor);

/*
 * Derives the order's status from its items, stores what has changed of the order (status, paid_at,
 * refunded_amount), sets its event_key, and returns the row as a composite datum.
 */
extern Datum order_save(Order *order);

/* What the line of an item costs without its shipping: what comes back when all of its units do. */
extern int64 order_item_net(const OrderItem *item);

/* The stock that n items are about, by ascending product, as stock_give() and stock_take() want it. */
extern StockMove *order_stock_moves(OrderItem *const *items, int n);

/* order_event.c */

/* Writes a priced line that is not an item yet as an element of an array. */
extern void order_put_line(JsonWriter *json, int seq, const QuoteLine *line);

/* Writes the events of an order that has just been made. */
extern void order_write_created(const Order *order);

/* Writes that an order has been paid, and the requests to its sellers to deliver what is PREPARING. */
extern void order_write_paid(const Order *order, const Payment *payment);

/* Writes DeliveryRequested for n items of an order, one event per seller. */
extern void order_write_delivery(const Order *order, OrderItem *const *items, int n);

/*
 * Begins the payload of an event: opens the object and writes the members that every event of an order
 * has, its items included.  The caller may add members; order_write_event() closes it.
 */
extern void order_begin_event(JsonWriter *json, const Order *order);
extern void order_write_event(const Order *order, const char *type, JsonWriter *json);

/* Writes an event that carries a payment in a member ("payment" or "refund"). */
extern void order_write_payment_event(const Order *order, const char *type, const char *member,
									  const Payment *payment);

#endif
