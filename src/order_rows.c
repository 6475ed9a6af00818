/*
 * order_rows.c
 *	  Writing a new order: its rows in commerce.orders, order_items, order_item_events and payments, and
 *	  its events.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "compat.h"
#include "guc.h"
#include "json_writer.h"
#include "order.h"
#include "outbox.h"
#include "row_writer.h"
#include "spi_util.h"

#define ORDER_COLUMNS	16
#define ITEM_COLUMNS	17
#define EVENT_COLUMNS	10
#define PAYMENT_COLUMNS	8

const char *const payment_method_labels[] = {
	[PAYMENT_BALANCE] = "BALANCE",
	[PAYMENT_EXTERNAL] = "EXTERNAL",
};

static Datum
insert_order_row(const Order *order)
{
	const Quote *quote = order->quote;
	Datum		values[ORDER_COLUMNS] = {0};
	bool		nulls[ORDER_COLUMNS] = {false};

	values[0] = Int64GetDatum(order->id);
	values[1] = Int64GetDatum(order->user_id);
	values[2] = ObjectIdGetDatum(commerce_enum_value("order_status", order->status));
	values[3] = ObjectIdGetDatum(commerce_enum_value("payment_method", payment_method_labels[order->method]));
	values[4] = TimestampTzGetDatum(order->created_at);
	values[5] = TimestampTzGetDatum(order->created_at); /* updated_at */
	values[6] = TimestampTzGetDatum(order->paid_at);
	nulls[6] = (order->paid_at == 0);
	values[7] = TimestampTzGetDatum(order->expires_at);
	nulls[7] = (order->expires_at == 0);
	values[8] = Int64GetDatum(quote->items_total);
	values[9] = Int64GetDatum(quote->item_discount_total);
	values[10] = Int64GetDatum(quote->order_discount);
	values[11] = Int64GetDatum(quote->shipping_discount);
	values[12] = Int64GetDatum(quote->shipping_total);
	values[13] = Int64GetDatum(quote->payment_amount);
	values[14] = Int64GetDatum(0);	/* refunded_amount */
	values[15] = FullTransactionIdGetDatum(FullTransactionIdFromU64(order->event_key));
	return row_insert_returning("orders", ORDER_COLUMNS, values, nulls);
}

static void
insert_item_rows(const Order *order)
{
	RowWriter	writer;

	row_writer_open(&writer, "order_items", ITEM_COLUMNS);
	for (int i = 0; i < order->nitems; i++)
	{
		const OrderItem *item = &order->items[i];
		const QuoteLine *line = item->line;
		Datum		values[ITEM_COLUMNS] = {0};
		bool		nulls[ITEM_COLUMNS] = {false};

		values[0] = Int64GetDatum(item->id);
		values[1] = Int64GetDatum(order->id);
		values[2] = Int32GetDatum(item->seq);
		values[3] = Int64GetDatum(line->product_id);
		values[4] = Int64GetDatum(line->product->seller_id);
		nulls[4] = (line->product->seller_id == 0);
		values[5] = CStringGetTextDatum(line->product->name);
		values[6] = ObjectIdGetDatum(commerce_enum_value("order_item_status", item->status));
		values[7] = Int64GetDatum(line->quantity);
		values[8] = Int64GetDatum(line->unit_price);
		values[9] = Int64GetDatum(line->unit_discount);
		values[10] = Int64GetDatum(line->unit_final);
		values[11] = Int64GetDatum(line->line_total);
		values[12] = Int64GetDatum(line->order_discount_share);
		values[13] = Int64GetDatum(line->shipping_fee);
		values[14] = Int64GetDatum(line->shipping_discount);
		values[15] = Int64GetDatum(line->coupon_issue_id);
		nulls[15] = (line->coupon_issue_id == 0);
		nulls[16] = true;		/* split_from */
		row_writer_insert(&writer, values, nulls);
	}
	row_writer_close(&writer);
}

static void
insert_history(RowWriter *writer, const Order *order, const OrderItem *item, const char *from, const char *to,
			   const char *actor, int64 actor_id)
{
	Datum		values[EVENT_COLUMNS] = {0};
	bool		nulls[EVENT_COLUMNS] = {false};

	values[0] = Int64GetDatum(commerce_nextval("order_item_events_id_seq"));
	values[1] = Int64GetDatum(item->id);
	nulls[2] = (from == NULL);
	if (from)
		values[2] = ObjectIdGetDatum(commerce_enum_value("order_item_status", from));
	values[3] = ObjectIdGetDatum(commerce_enum_value("order_item_status", to));
	values[4] = Int64GetDatum(item->line->quantity);
	values[5] = TimestampTzGetDatum(order->created_at);
	values[6] = ObjectIdGetDatum(commerce_enum_value("actor_kind", actor));
	values[7] = Int64GetDatum(actor_id);
	nulls[7] = (actor_id == 0);
	nulls[8] = true;			/* note */
	values[9] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	row_writer_insert(writer, values, nulls);
}

/* The steps that an item took when its order was made. */
static void
insert_history_rows(const Order *order)
{
	RowWriter	writer;

	row_writer_open(&writer, "order_item_events", EVENT_COLUMNS);
	for (int i = 0; i < order->nitems; i++)
	{
		const OrderItem *item = &order->items[i];
		const char *first = order->paid_at ? "PAID" : "PENDING_PAYMENT";

		insert_history(&writer, order, item, NULL, first, "BUYER", order->user_id);
		if (strcmp(item->status, first) != 0)
			insert_history(&writer, order, item, first, item->status, "SYSTEM", 0);
	}
	row_writer_close(&writer);
}

static void
insert_payment_row(const Order *order)
{
	Datum		values[PAYMENT_COLUMNS] = {0};
	bool		nulls[PAYMENT_COLUMNS] = {false};

	values[0] = Int64GetDatum(order->payment_id);
	values[1] = Int64GetDatum(order->id);
	values[2] = ObjectIdGetDatum(commerce_enum_value("payment_kind", "PAYMENT"));
	values[3] = ObjectIdGetDatum(commerce_enum_value("payment_method", payment_method_labels[order->method]));
	values[4] = ObjectIdGetDatum(commerce_enum_value("payment_status", order->paid_at ? "COMPLETED" : "REQUESTED"));
	values[5] = Int64GetDatum(order->quote->payment_amount);
	nulls[6] = true;			/* provider_event_id */
	values[7] = TimestampTzGetDatum(order->created_at);
	row_insert("payments", PAYMENT_COLUMNS, values, nulls);
}

Datum
order_insert(Order *order)
{
	Datum		row = insert_order_row(order);

	insert_item_rows(order);
	insert_history_rows(order);
	insert_payment_row(order);
	return row;
}

static void
put_item(JsonWriter *json, const OrderItem *item)
{
	const QuoteLine *line = item->line;

	json_open_object(json, NULL);
	json_put_int(json, "id", item->id);
	json_put_int(json, "seq", item->seq);
	json_put_int(json, "product_id", line->product_id);
	json_put_id(json, "seller_id", line->product->seller_id);
	json_put_text(json, "product_name", line->product->name);
	json_put_text(json, "status", item->status);
	json_put_int(json, "quantity", line->quantity);
	json_put_int(json, "unit_price", line->unit_price);
	json_put_int(json, "unit_discount", line->unit_discount);
	json_put_int(json, "unit_final", line->unit_final);
	json_put_int(json, "line_total", line->line_total);
	json_put_int(json, "order_discount_share", line->order_discount_share);
	json_put_int(json, "shipping_fee", line->shipping_fee);
	json_put_int(json, "shipping_discount", line->shipping_discount);
	json_put_id(json, "coupon_issue_id", line->coupon_issue_id);
	json_put_text(json, "split_from", NULL);
	json_close_object(json);
}

/* Writes the members that every event of an order has, its items included. */
static void
put_order(JsonWriter *json, const Order *order)
{
	const Quote *quote = order->quote;

	json_put_int(json, "order_id", order->id);
	json_put_int(json, "user_id", order->user_id);
	json_put_text(json, "status", order->status);
	json_put_text(json, "payment_method", payment_method_labels[order->method]);
	json_put_time(json, "created_at", order->created_at);
	json_put_time(json, "paid_at", order->paid_at);
	json_put_time(json, "expires_at", order->expires_at);
	json_put_int(json, "items_total", quote->items_total);
	json_put_int(json, "item_discount_total", quote->item_discount_total);
	json_put_int(json, "order_discount", quote->order_discount);
	json_put_int(json, "shipping_discount", quote->shipping_discount);
	json_put_int(json, "shipping_total", quote->shipping_total);
	json_put_int(json, "payment_amount", quote->payment_amount);
	json_put_int(json, "refunded_amount", 0);
	json_open_array(json, "items");
	for (int i = 0; i < order->nitems; i++)
		put_item(json, &order->items[i]);
	json_close_array(json);
}

static Jsonb *
order_payload(const Order *order, bool with_payment)
{
	JsonWriter	json = {0};

	json_open_object(&json, NULL);
	put_order(&json, order);
	if (with_payment)
	{
		json_open_object(&json, "payment");
		json_put_int(&json, "id", order->payment_id);
		json_put_text(&json, "method", payment_method_labels[order->method]);
		json_put_int(&json, "amount", order->quote->payment_amount);
		json_close_object(&json);
	}
	json_close_object(&json);
	return json_finish(&json);
}

/* What one seller (0: the shop itself) is to deliver. */
static Jsonb *
delivery_payload(const Order *order, int64 seller_id)
{
	JsonWriter	json = {0};

	json_open_object(&json, NULL);
	json_put_int(&json, "order_id", order->id);
	json_put_int(&json, "user_id", order->user_id);
	json_put_id(&json, "seller_id", seller_id);
	json_open_array(&json, "items");
	for (int i = 0; i < order->nitems; i++)
		if (order->items[i].line->product->seller_id == seller_id)
			put_item(&json, &order->items[i]);
	json_close_array(&json);
	json_close_object(&json);
	return json_finish(&json);
}

static int
compare_sellers(const void *a, const void *b)
{
	int64		sa = *(const int64 *) a;
	int64		sb = *(const int64 *) b;

	return sa < sb ? -1 : sa > sb;
}

void
order_write_events(const Order *order)
{
	const char *id = psprintf(INT64_FORMAT, order->id);
	Event	   *events = palloc((order->nitems + 2) * sizeof(Event));
	int			nevents = 0;

	events[nevents++] = (Event) {"Order", id, "OrderCreated", order_payload(order, false), order->event_key};
	events[nevents++] = (Event) {"Order", id, order->paid_at ? "PaymentCompleted" : "PaymentRequested",
								 order_payload(order, true), order->event_key};
	if (order->paid_at && commerce_auto_prepare)
	{
		int64	   *sellers = palloc(order->nitems * sizeof(int64));

		for (int i = 0; i < order->nitems; i++)
			sellers[i] = order->items[i].line->product->seller_id;
		qsort(sellers, order->nitems, sizeof(int64), compare_sellers);
		for (int i = 0; i < order->nitems; i++)
			if (i == 0 || sellers[i] != sellers[i - 1])
				events[nevents++] = (Event) {"Order", id, "DeliveryRequested",
											 delivery_payload(order, sellers[i]), order->event_key};
	}
	outbox_write(events, nevents);
}
