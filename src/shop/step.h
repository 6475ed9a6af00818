/*
 * step.h
 *	  A step of items, with all that it brings about.
 */
#ifndef COMMERCE_STEP_H
#define COMMERCE_STEP_H

#include "shop/order.h"

/* A step that items take, and what of it is said by the call. */
typedef struct Step
{
	OrderItemStatus status;		/* that is entered */
	const Actor *actor;
	bool		restock;		/* of RETURNED: what came back goes into stock */
	int64		deduction;		/* of RETURNED, of a single item: what is kept back */
	int64		shipment_id;	/* of DISPATCHED: the parcel; 0: none */
} Step;

/*
 * Takes n (> 0) items of a locked order to a status, with all that this brings about, and returns the orders row.
 * Raises INVALID_STATE_TRANSITION.
 */
extern Datum step_items(Order *order, OrderItem **items, int n, const Step *step);

/*
 * Judges a step of one item, and splits quantity units (0: all) off it, which are to take it; answers the item that is.
 * Raises INVALID_STATE_TRANSITION, INVALID_REQUEST.
 */
extern OrderItem *step_take_part(Order *order, OrderItem *item, OrderItemStatus status, const Actor *actor,
								 int64 quantity);

/*
 * Locks an order that is the actor's: a buyer's own, or of a seller's items alone; of other actors, and of those
 * without an id, each is.  Whose it is never changes and is read before anything is locked: nobody waits for
 * somebody else's order, or holds it up.  Raises ENTITY_NOT_FOUND.
 */
extern Order *step_lock_order(int64 order_id, const Actor *actor);

/* The same for the order of an item that is the actor's, and finds the item. */
extern Order *step_lock_item(int64 item_id, const Actor *actor, OrderItem **item);

/*
 * Takes an item, or quantity units of it (0: all), a step; *item becomes the item that has taken it.  Returns the
 * orders row.
 */
extern Datum step_item(Order *order, OrderItem **item, int64 quantity, const Step *step);

#endif
