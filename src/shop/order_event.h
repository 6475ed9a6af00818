/*
 * order_event.h
 *	  What events say of an order.
 */
#ifndef COMMERCE_ORDER_EVENT_H
#define COMMERCE_ORDER_EVENT_H

#include "base/json_writer.h"
#include "shop/order.h"

/* Writes a priced line that is not an item yet as an element of an array. */
extern void order_put_line(JsonWriter *json, int seq, const Line *line);

/* Writes totals as members of the object that is open. */
extern void order_put_totals(JsonWriter *json, const Totals *totals);

/* Writes the events of an order that has just been made, with its payment. */
extern void order_write_created(const Order *order, const Payment *payment);

/* Writes that an order has been paid, and the requests to its sellers to deliver what is PREPARING. */
extern void order_write_paid(const Order *order, const Payment *payment);

/* Writes that an order which was given up is to be paid anew, with its items as they are again. */
extern void order_write_requested(const Order *order, const Payment *payment);

/* Writes DeliveryRequested for n items of an order, one event per seller. */
extern void order_write_delivery(const Order *order, OrderItem *const *items, int n);

/* Writes an event that carries nothing but the order and its items. */
extern void order_write_event(const Order *order, const char *type);

/*
 * Writes an event that carries the order's own columns and a payment in a member ("payment" or "refund"), and who has
 * caused it (NULL: the step that it is a part of says so, or the provider).
 */
extern void order_write_payment_event(const Order *order, const char *type, const char *member,
									  const Payment *payment, const Actor *actor);

/*
 * Writes that n items of an order have changed, each from a former status, with those that they were split off from,
 * which have fewer units now; where money comes back, with their share
 * and the amount that is refunded, which is smaller when less was left.
 */
extern void order_write_changed(const Order *order, OrderItem *const *items, int n, const OrderItemStatus *former,
								const Actor *actor, int64 share, int64 amount);

/* A row of commerce.shipments. */
typedef struct Shipment
{
	int64		id;
	int64		seller_id;		/* 0: the shop */
	int64		order_id;
	char	   *carrier;		/* NULL: not known */
	char	   *tracking_number;
	TimestampTz at;
} Shipment;

/* Writes ShipmentCreated or ShipmentChanged, with the items that it is about. */
extern void order_write_shipment(const Order *order, const char *type, const Shipment *shipment,
								 OrderItem *const *items, int n, const Actor *actor);

/* Writes DeliveryChanged, one event per seller. */
extern void order_write_delivery_changed(const Order *order, const Actor *actor);

#endif
