/*
 * order_event.c
 *	  Events of orders.  This is the one place that says what an order looks like in the outbox: every
 *	  event of an order carries the whole of it; what a seller is to deliver, that seller's items alone.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/guc.h"
#include "events/outbox.h"
#include "shop/order_event.h"

static void
put_line(JsonWriter *json, int seq, const Line *line)
{
	json_put_int(json, "seq", seq);
	json_put_int(json, "product_id", line->product_id);
	json_put_id(json, "seller_id", line->seller_id);
	json_put_text(json, "product_name", line->product_name);
	json_put_int(json, "quantity", line->quantity);
	json_put_int(json, "unit_price", line->unit_price);
	json_put_int(json, "unit_discount", line->unit_discount);
	json_put_int(json, "unit_final", line->unit_final);
	json_put_int(json, "line_total", line->line_total);
	json_put_int(json, "order_discount_share", line->order_discount_share);
	json_put_int(json, "shipping_fee", line->shipping_fee);
	json_put_int(json, "shipping_discount", line->shipping_discount);
	json_put_id(json, "coupon_issue_id", line->coupon_issue_id);
	json_put_int(json, "line", line->number);
	json_put_bool(json, "tax_exempt", line->tax_exempt);
}

static void
put_item(JsonWriter *json, const OrderItem *item)
{
	json_open_object(json, NULL);
	json_put_int(json, "id", item->id);
	put_line(json, item->seq, &item->line);
	json_put_text(json, "status", catalog_label_name(TYPE_ORDER_ITEM_STATUS, item->status));
	json_put_id(json, "split_from", item->split_from);
	json_put_id(json, "shipment_id", item->shipment_id);
	json_put_id(json, "replacement_product_id", item->replacement_product_id);
	json_put_int(json, "deduction", item->deduction);
	json_close_object(json);
}

void
order_put_line(JsonWriter *json, int seq, const Line *line)
{
	json_open_object(json, NULL);
	put_line(json, seq, line);
	json_close_object(json);
}

void
order_put_totals(JsonWriter *json, const Totals *totals)
{
	json_put_int(json, "items_total", totals->items_total);
	json_put_int(json, "item_discount_total", totals->item_discount_total);
	json_put_int(json, "order_discount", totals->order_discount);
	json_put_int(json, "shipping_discount", totals->shipping_discount);
	json_put_int(json, "shipping_total", totals->shipping_total);
	json_put_int(json, "payment_amount", totals->payment_amount);
	json_put_int(json, "tax_free_amount", totals->tax_free_amount);
}

/* Begins an object with all of an order but its items. */
static void
put_head(JsonWriter *json, const Order *order)
{
	json_open_object(json, NULL);
	json_put_int(json, "order_id", order->id);
	json_put_int(json, "user_id", order->user_id);
	json_put_text(json, "status", catalog_label_name(TYPE_ORDER_STATUS, order->status));
	json_put_text(json, "payment_method", catalog_label_name(TYPE_PAYMENT_METHOD, order->method));
	json_put_time(json, "created_at", order->created_at);
	json_put_time(json, "paid_at", order->paid_at);
	json_put_time(json, "expires_at", order->expires_at);
	order_put_totals(json, &order->totals);
	json_put_int(json, "refunded_amount", order->refunded_amount);
	json_put_text(json, "recipient_name", order->recipient.name);
	json_put_text(json, "recipient_phone", order->recipient.phone);
	json_put_text(json, "recipient_address", order->recipient.address);
	json_put_text(json, "recipient_memo", order->recipient.memo);
	json_put_jsonb(json, "metadata", order->metadata);
}

/*
 * Begins the payload of an event: the order's own columns, and the items that the event is about.  What a data
 * platform has read before it does not get again, so that many small steps of a large order cost little each.
 */
static void
begin_event(JsonWriter *json, const Order *order, OrderItem *const *items, int n)
{
	put_head(json, order);
	json_open_array(json, "items");
	for (int i = 0; i < n; i++)
		put_item(json, items[i]);
	json_close_array(json);
}

/* Closes an event's payload and makes the event. */
static Event
finish_event(const Order *order, const char *type, JsonWriter *json)
{
	Event		event = {"Order", outbox_id(order->id), type};

	json_close_object(json);
	event.payload = json_finish(json);
	event.key = order->event_key;
	return event;
}

/* Closes an event's payload and writes the event. */
static void
end_event(const Order *order, const char *type, JsonWriter *json)
{
	Event		event = finish_event(order, type, json);

	outbox_write(&event, 1);
}

void
order_write_event(const Order *order, const char *type)
{
	JsonWriter	json = {0};

	begin_event(&json, order, order_all_items(order), order->nitems);
	end_event(order, type, &json);
}

/* The items that a step of n items is about: these, and those that they were split off from by it. */
static OrderItem **
with_wholes(const Order *order, OrderItem *const *items, int n, int *nall)
{
	OrderItem **all = palloc(2 * n * sizeof(OrderItem *));

	memcpy(all, items, n * sizeof(OrderItem *));
	*nall = n;
	for (int i = 0; i < n; i++)
		if (items[i]->split_off)
			all[(*nall)++] = order_find_item(order, items[i]->split_from);
	return all;
}

void
order_write_changed(const Order *order, OrderItem *const *items, int n, const OrderItemStatus *former,
					const Actor *actor, int64 share, int64 amount)
{
	JsonWriter	json = {0};
	int			nall;
	OrderItem **all = with_wholes(order, items, n, &nall);

	begin_event(&json, order, all, nall);
	json_open_array(&json, "changes");
	for (int i = 0; i < n; i++)
	{
		json_open_object(&json, NULL);
		json_put_int(&json, "item_id", items[i]->id);
		json_put_text(&json, "from_status", catalog_label_name(TYPE_ORDER_ITEM_STATUS, former[i]));
		json_put_text(&json, "to_status", catalog_label_name(TYPE_ORDER_ITEM_STATUS, items[i]->status));
		json_put_int(&json, "quantity", items[i]->line.quantity);
		json_close_object(&json);
	}
	json_close_array(&json);
	if (share > 0)
	{
		json_open_object(&json, "refund");
		json_put_int(&json, "share", share);
		json_put_int(&json, "amount", amount);
		json_close_object(&json);
	}
	actor_put(&json, actor);
	end_event(order, "OrderItemStatusChanged", &json);
}

void
order_write_shipment(const Order *order, const char *type, const Shipment *shipment, OrderItem *const *items, int n,
					 const Actor *actor)
{
	JsonWriter	json = {0};

	begin_event(&json, order, items, n);
	json_open_object(&json, "shipment");
	json_put_int(&json, "id", shipment->id);
	json_put_id(&json, "seller_id", shipment->seller_id);
	json_put_text(&json, "carrier", shipment->carrier);
	json_put_text(&json, "tracking_number", shipment->tracking_number);
	json_put_time(&json, "at", shipment->at);
	json_close_object(&json);
	actor_put(&json, actor);
	end_event(order, type, &json);
}

/* An event that goes on from json, what all events of the order begin with, and takes it; actor: NULL for nobody in particular. */
static Event
payment_event(const Order *order, JsonWriter json, const char *type, const char *member, const Payment *payment,
			  const Actor *actor)
{
	payment_put(&json, member, payment);
	if (actor)
		actor_put(&json, actor);
	return finish_event(order, type, &json);
}

void
order_write_payment_event(const Order *order, const char *type, const char *member, const Payment *payment,
						  const Actor *actor)
{
	JsonWriter	begun = {0};
	Event		event;

	put_head(&begun, order);
	event = payment_event(order, begun, type, member, payment, actor);
	outbox_write(&event, 1);
}

static int
compare_items_by_seller(const void *a, const void *b)
{
	const OrderItem *ia = *(OrderItem *const *) a;
	const OrderItem *ib = *(OrderItem *const *) b;
	int64		sa = ia->line.seller_id;
	int64		sb = ib->line.seller_id;

	if (sa != sb)
		return sa < sb ? -1 : 1;
	return ia->seq - ib->seq;
}

/*
 * What one seller (0: the shop itself) is told of his delivery: n items that are all that seller's.  begun: what events of
 * the whole order begin with, or NULL.
 */
static Event
delivery_event(const Order *order, const JsonWriter *begun, const char *type, OrderItem *const *items, int n,
			   const Actor *actor)
{
	JsonWriter	json = {0};

	if (begun && n == order->nitems)
		json = json_fork(begun);
	else
		begin_event(&json, order, items, n);
	json_put_id(&json, "seller_id", items[0]->line.seller_id);
	if (actor)
		actor_put(&json, actor);
	return finish_event(order, type, &json);
}

/* Adds one event of a type per seller of n items to events; returns how many. */
static int
add_delivery_events(const Order *order, const JsonWriter *begun, const char *type, OrderItem *const *items, int n,
					const Actor *actor, Event *events)
{
	OrderItem **sorted = palloc(n * sizeof(OrderItem *));
	int			nevents = 0;
	int			start = 0;

	memcpy(sorted, items, n * sizeof(OrderItem *));
	qsort(sorted, n, sizeof(OrderItem *), compare_items_by_seller);
	for (int i = 1; i <= n; i++)
		if (i == n || sorted[i]->line.seller_id != sorted[start]->line.seller_id)
		{
			events[nevents++] = delivery_event(order, begun, type, &sorted[start], i - start, actor);
			start = i;
		}
	return nevents;
}

void
order_write_delivery(const Order *order, OrderItem *const *items, int n)
{
	Event	   *events = palloc(n * sizeof(Event));

	outbox_write(events, add_delivery_events(order, NULL, "DeliveryRequested", items, n, NULL, events));
}

void
order_write_delivery_changed(const Order *order, const Actor *actor)
{
	Event	   *events = palloc(order->nitems * sizeof(Event));

	outbox_write(events, add_delivery_events(order, NULL, "DeliveryChanged", order_all_items(order), order->nitems, actor, events));
}

/* Adds PaymentCompleted, and DeliveryRequested when the items go into preparation at once. */
static int
add_paid_events(const Order *order, const JsonWriter *begun, const Payment *payment, Event *events)
{
	events[0] = payment_event(order, json_fork(begun), "PaymentCompleted", "payment", payment, NULL);
	if (!commerce_auto_prepare)
		return 1;
	return 1 + add_delivery_events(order, begun, "DeliveryRequested", order_all_items(order), order->nitems, NULL, events + 1);
}

void
order_write_paid(const Order *order, const Payment *payment)
{
	Event	   *events = palloc((order->nitems + 1) * sizeof(Event));
	JsonWriter	begun = {0};

	begin_event(&begun, order, order_all_items(order), order->nitems);
	outbox_write(events, add_paid_events(order, &begun, payment, events));
}

void
order_write_requested(const Order *order, const Payment *payment)
{
	JsonWriter	begun = {0};
	Event		event;

	begin_event(&begun, order, order_all_items(order), order->nitems);
	event = payment_event(order, begun, "PaymentRequested", "payment", payment, NULL);
	outbox_write(&event, 1);
}

void
order_write_created(const Order *order, const Payment *payment)
{
	Event	   *events = palloc((order->nitems + 2) * sizeof(Event));
	JsonWriter	begun = {0};
	JsonWriter	created;
	int			nevents = 1;

	begin_event(&begun, order, order_all_items(order), order->nitems);
	created = json_fork(&begun);
	events[0] = finish_event(order, "OrderCreated", &created);
	if (order->paid_at)
		nevents += add_paid_events(order, &begun, payment, events + 1);
	else
		events[nevents++] = payment_event(order, begun, "PaymentRequested", "payment", payment, NULL);
	outbox_write(events, nevents);
}
