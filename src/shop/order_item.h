/*
 * order_item.h
 *	  Items of orders.
 */
#ifndef COMMERCE_ORDER_ITEM_H
#define COMMERCE_ORDER_ITEM_H

#include "datatype/timestamp.h"

#include "base/compat.h"
#include "shop/actor.h"
#include "shop/pricing.h"
#include "shop/stock.h"

/* What became of goods that came back. */
typedef enum Restocked
{
	NOTHING_CAME,
	RESTOCKED,
	NOT_RESTOCKED,
} Restocked;

typedef struct OrderItem
{
	int64		id;
	int			seq;
	OrderItemStatus status;
	Line		line;
	int64		split_from;		/* id of another item; 0: none */
	TimestampTz delivered_at;	/* 0: never */
	int64		replacement_product_id; /* got in exchange; 0: nothing */
	int64		shipment_id;	/* the parcel it went with; 0: none */
	int64		deduction;		/* what was kept back at its return */
	bool		lost;			/* RETURNED from the way */
	int64		split_quantity; /* units split off it, and what these came to */
	int64		split_net;
	int			last_event;		/* ordinal of the last row of its history */
	Restocked	restocked;		/* of the step that is being made */
	bool		split_off;		/* by the step that is being made */
} OrderItem;

/* Inserts the rows of n items of an order. */
extern void order_items_insert(int64 order_id, int64 user_id, const OrderItem *items, int n);

/* Whether unpaid orders hold units of a product, as it is committed at this moment. */
extern bool order_items_hold(int64 product_id);

/*
 * Raises PURCHASE_LIMIT_EXCEEDED when a user, whose row is locked, would have more units of a product than its
 * limit allows: those that were ordered while there was a limit, and are neither cancelled nor returned.
 */
extern void order_items_require_limit(int64 user_id, int64 product_id, int64 asked, int64 limit, int index);

/*
 * Whether a user, whose row is locked, would have more units of a product than its limit allows when an order of his
 * that is cancelled is taken up again: the limit is that of the latest of his orders, this one included.  False:
 * there was no limit when it was ordered.
 */
extern bool order_items_exceed_limit(int64 user_id, int64 order_id, int64 product_id);

/* Inserts the history that n items have when their order is made by its buyer, with payment or before it. */
extern void order_items_record_first(const OrderItem *items, int n, int64 buyer_id, bool paid);

/* Reads the items of a locked order by seq ; room is left for a part of each. */
extern OrderItem *order_items_read(int64 order_id, int *n);

/* The order that an item belongs to, and the item's seller (0: the shop); 0 when there is no such item. */
extern int64 order_item_order(int64 item_id, int64 *seller_id);

/* Whether all items of an order are of this seller. */
extern bool order_items_are_sellers(int64 order_id, int64 seller_id);

/* The row of an item, as a composite datum. */
extern Datum order_item_row(int64 item_id);

/* The order_items row that a call with the same idempotency key returned (jsonb). */
extern Datum order_item_stored(Datum stored);

/* Stores what splitting, a return or an exchange has changed of an item. */
extern void order_item_store(const OrderItem *item, int64 user_id);

/* What the line of an item costs without its shipping: what comes back when all of its units do. */
extern int64 order_item_net(const OrderItem *item);

/*
 * Whether commerce.order_item_transitions lets an actor of this kind take an item to a status, as a step
 * that is made with the whole order, or not.
 */
extern bool order_item_may_change(const OrderItem *item, OrderItemStatus status, const Actor *actor, bool whole_order);

/* Raises INVALID_STATE_TRANSITION. */
pg_noreturn extern void order_item_refuse_change(const OrderItem *item, OrderItemStatus status, const Actor *actor);

/*
 * Gives n items, all of one status, another, with their history; shipment_id: the parcel that they go with (0: that
 * they have).  Raises INVALID_STATE_TRANSITION unless the actor may make the step.
 */
extern void order_items_set_status(OrderItem *const *items, int n, OrderItemStatus status, int64 shipment_id,
								   const Actor *actor);

/* Notes the parcel that an item went with. */
extern void order_item_set_shipment(OrderItem *item, int64 shipment_id);

/* The product that the buyer has: the replacement, once something was exchanged. */
extern int64 order_item_product(const OrderItem *item);

/* Whether an item was cancelled before dispatch, or lost on the way: it counts for shipping and coupons as not sent. */
extern bool order_item_never_came(const OrderItem *item);

/* Whether the items of an order that was never paid were cancelled last by the system, and not by a person. */
extern bool order_items_given_up(int64 order_id);

/* Finds orders with items that were delivered up to a moment and are not confirmed, for a sweep. */
extern int64 *order_items_find_delivered(TimestampTz delivered_until, int64 max, int64 skipped, int *n);

/* The stock that n items are about, by ascending product, as stock_give() and stock_record() want it. */
extern StockMove *order_items_stock_moves(OrderItem *const *items, int n);

#endif
