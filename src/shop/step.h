/*
 * step.h
 *	  A step of items, with all that it brings about.
 */
#ifndef COMMERCE_STEP_H
#define COMMERCE_STEP_H

#include "shop/order.h"

/*
 * Takes n (> 0) items of a locked order to a status, with all that this brings about, and returns the
 * orders row.  Raises INVALID_STATE_TRANSITION.
 */
extern Datum step_items(Order *order, OrderItem **items, int n, OrderItemStatus status, const Actor *actor);

/*
 * Locks an order that is the actor's: a buyer's own, or of a seller's items alone; of other actors, and of those
 * without an id, each is.  Whose it is never changes and is read before anything is locked: nobody waits for
 * somebody else's order, or holds it up.  Raises ENTITY_NOT_FOUND.
 */
extern Order *step_lock_order(int64 order_id, const Actor *actor);

/* The same for the order of an item that is the actor's, and finds the item. */
extern Order *step_lock_item(int64 item_id, const Actor *actor, OrderItem **item);

/*
 * Takes an item, or quantity units of it (0: all), to a status; *item becomes the item that has it.
 * Returns the orders row.
 */
extern Datum step_item(Order *order, OrderItem **item, OrderItemStatus status, const Actor *actor, int64 quantity);

#endif
