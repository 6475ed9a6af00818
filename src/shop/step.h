/*
 * step.h
 *	  A step of items, with all that it brings about.
 */
#ifndef COMMERCE_STEP_H
#define COMMERCE_STEP_H

#include "shop/order.h"

/* Whether an item is the actor's own, as far as that is to be tested. */
extern bool step_owns(const Actor *actor, const Order *order, const OrderItem *item);

/*
 * Takes n (> 0) items of a locked order to a status, with all that this brings about, and returns the
 * orders row.  Raises INVALID_STATE_TRANSITION, REFUND_EXCEEDS_PAID.
 */
extern Datum step_items(Order *order, OrderItem **items, int n, const char *status, const Actor *actor);

/* Locks the order of an item and finds the item; raises ENTITY_NOT_FOUND, also for somebody else's. */
extern Order *step_lock_item(int64 item_id, const Actor *actor, OrderItem **item);

/*
 * Takes an item, or quantity units of it (0: all), to a status; *item becomes the item that has it.
 * Returns the orders row.
 */
extern Datum step_item(Order *order, OrderItem **item, const char *status, const Actor *actor, int64 quantity);

#endif
