/*
 * order_rows.c
 *	  Inserting rows of commerce.orders, order_items, order_item_events and payments.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "base/row_writer.h"
#include "base/spi_util.h"
#include "shop/order.h"

#define ORDER_COLUMNS	16
#define ITEM_COLUMNS	17
#define EVENT_COLUMNS	10
#define PAYMENT_COLUMNS	8

const char *const payment_method_labels[] = {
	[PAYMENT_BALANCE] = "BALANCE",
	[PAYMENT_EXTERNAL] = "EXTERNAL",
};

const Actor actor_system = {"SYSTEM", 0, NULL};

Payment
order_first_payment(const Order *order)
{
	Payment		payment = {0};

	payment.id = order->payment_id;
	payment.kind = "PAYMENT";
	payment.method = order->method;
	payment.status = order->paid_at ? "COMPLETED" : "REQUESTED";
	payment.amount = order->quote->payment_amount;
	return payment;
}

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
write_item(RowWriter *writer, int64 order_id, const OrderItem *item)
{
	const QuoteLine *line = item->line;
	Datum		values[ITEM_COLUMNS] = {0};
	bool		nulls[ITEM_COLUMNS] = {false};

	values[0] = Int64GetDatum(item->id);
	values[1] = Int64GetDatum(order_id);
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
	values[16] = Int64GetDatum(item->split_from);
	nulls[16] = (item->split_from == 0);
	row_writer_insert(writer, values, nulls);
}

static void
insert_item_rows(const Order *order)
{
	RowWriter	writer;

	row_writer_open(&writer, "order_items", ITEM_COLUMNS);
	for (int i = 0; i < order->nitems; i++)
		write_item(&writer, order->id, &order->items[i]);
	row_writer_close(&writer);
}

void
order_insert_item(const Order *order, const OrderItem *item)
{
	RowWriter	writer;

	row_writer_open(&writer, "order_items", ITEM_COLUMNS);
	write_item(&writer, order->id, item);
	row_writer_close(&writer);
}

static void
write_history(RowWriter *writer, const OrderItem *item, const char *from, const char *to, const Actor *actor)
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
	values[5] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[6] = ObjectIdGetDatum(commerce_enum_value("actor_kind", actor->kind));
	values[7] = Int64GetDatum(actor->id);
	nulls[7] = (actor->id == 0);
	nulls[8] = (actor->note == NULL);
	if (actor->note)
		values[8] = CStringGetTextDatum(actor->note);
	values[9] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	row_writer_insert(writer, values, nulls);
}

void
order_insert_history(OrderItem *const *items, int n, const char *from, const char *to, const Actor *actor)
{
	RowWriter	writer;

	row_writer_open(&writer, "order_item_events", EVENT_COLUMNS);
	for (int i = 0; i < n; i++)
		write_history(&writer, items[i], from, to, actor);
	row_writer_close(&writer);
}

/* The steps that an item took when its order was made. */
static void
insert_first_history(const Order *order)
{
	const char *first = order->paid_at ? "PAID" : "PENDING_PAYMENT";
	Actor		buyer = {"BUYER", order->user_id, NULL};
	RowWriter	writer;

	row_writer_open(&writer, "order_item_events", EVENT_COLUMNS);
	for (int i = 0; i < order->nitems; i++)
	{
		const OrderItem *item = &order->items[i];

		write_history(&writer, item, NULL, first, &buyer);
		if (strcmp(item->status, first) != 0)
			write_history(&writer, item, first, item->status, &actor_system);
	}
	row_writer_close(&writer);
}

void
payment_insert(int64 order_id, Payment *payment)
{
	Datum		values[PAYMENT_COLUMNS] = {0};
	bool		nulls[PAYMENT_COLUMNS] = {false};

	if (payment->id == 0)
		payment->id = commerce_nextval("payments_id_seq");
	values[0] = Int64GetDatum(payment->id);
	values[1] = Int64GetDatum(order_id);
	values[2] = ObjectIdGetDatum(commerce_enum_value("payment_kind", payment->kind));
	values[3] = ObjectIdGetDatum(commerce_enum_value("payment_method", payment_method_labels[payment->method]));
	values[4] = ObjectIdGetDatum(commerce_enum_value("payment_status", payment->status));
	values[5] = Int64GetDatum(payment->amount);
	values[6] = PointerGetDatum(payment->provider_event_id);
	nulls[6] = (payment->provider_event_id == NULL);
	values[7] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	row_insert("payments", PAYMENT_COLUMNS, values, nulls);
}

Datum
order_insert(Order *order)
{
	Datum		row = insert_order_row(order);
	Payment		payment = order_first_payment(order);

	insert_item_rows(order);
	insert_first_history(order);
	payment_insert(order->id, &payment);
	return row;
}
