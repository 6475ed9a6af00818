/*
 * order_item.c
 *	  Items of orders; owns commerce.order_items, their history order_item_events, and the steps that
 *	  order_item_transitions allows.
 *
 * An item is changed under the lock of its order's row (order.c).  A row's net (line_total less its share of
 * the order's discount) is what its units cost, and is never computed anew.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/key.h"
#include "base/row_reader.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "base/sweep.h"
#include "shop/order_item.h"

#define NO_STATUS	(-1)		/* of an item that has just been made */

static void
write_item(RowWriter *writer, int64 order_id, int64 user_id, const OrderItem *item)
{
	const Line *line = &item->line;
	Row			row = {0};

	row_put_int64(&row, ORDER_ITEMS_ID, item->id);
	row_put_int64(&row, ORDER_ITEMS_ORDER_ID, order_id);
	row_put_int32(&row, ORDER_ITEMS_SEQ, item->seq);
	row_put_int64(&row, ORDER_ITEMS_PRODUCT_ID, line->product_id);
	row_put_id(&row, ORDER_ITEMS_SELLER_ID, line->seller_id);
	row_put_text(&row, ORDER_ITEMS_PRODUCT_NAME, line->product_name);
	row_put_label(&row, ORDER_ITEMS_STATUS, TYPE_ORDER_ITEM_STATUS, item->status);
	row_put_int64(&row, ORDER_ITEMS_QUANTITY, line->quantity);
	row_put_int64(&row, ORDER_ITEMS_UNIT_PRICE, line->unit_price);
	row_put_int64(&row, ORDER_ITEMS_UNIT_DISCOUNT, line->unit_discount);
	row_put_int64(&row, ORDER_ITEMS_UNIT_FINAL, line->unit_final);
	row_put_int64(&row, ORDER_ITEMS_LINE_TOTAL, line->line_total);
	row_put_int64(&row, ORDER_ITEMS_ORDER_DISCOUNT_SHARE, line->order_discount_share);
	row_put_int64(&row, ORDER_ITEMS_SHIPPING_FEE, line->shipping_fee);
	row_put_int64(&row, ORDER_ITEMS_SHIPPING_DISCOUNT, line->shipping_discount);
	row_put_id(&row, ORDER_ITEMS_COUPON_ISSUE_ID, line->coupon_issue_id);
	row_put_id(&row, ORDER_ITEMS_SPLIT_FROM, item->split_from);
	row_put_time(&row, ORDER_ITEMS_DELIVERED_AT, item->delivered_at);
	row_put_int32(&row, ORDER_ITEMS_LINE, line->number);
	row_put_bool(&row, ORDER_ITEMS_TAX_EXEMPT, line->tax_exempt);
	row_put_id(&row, ORDER_ITEMS_LIMITED_USER_ID, line->user_limit ? user_id : 0);
	row_put_id(&row, ORDER_ITEMS_USER_LIMIT, line->user_limit);
	row_put_int64(&row, ORDER_ITEMS_DEDUCTION, item->deduction);
	row_put_id(&row, ORDER_ITEMS_REPLACEMENT_PRODUCT_ID, item->replacement_product_id);
	row_put_id(&row, ORDER_ITEMS_SHIPMENT_ID, item->shipment_id);
	row_put_bool(&row, ORDER_ITEMS_OWN_SHIPPING, line->own_shipping);
	row_put_bool(&row, ORDER_ITEMS_LOST, item->lost);
	row_put_int64(&row, ORDER_ITEMS_SPLIT_QUANTITY, item->split_quantity);
	row_put_int64(&row, ORDER_ITEMS_SPLIT_NET, item->split_net);
	row_put_int32(&row, ORDER_ITEMS_LAST_EVENT, item->last_event);
	row_writer_insert(writer, &row);
}

void
order_items_insert(int64 order_id, int64 user_id, const OrderItem *items, int n)
{
	RowWriter	writer;

	row_writer_open(&writer, TABLE_ORDER_ITEMS, ORDER_ITEMS_COLUMNS);
	for (int i = 0; i < n; i++)
		write_item(&writer, order_id, user_id, &items[i]);
	row_writer_close(&writer);
}

bool
order_items_hold(int64 product_id)
{
	RowReader	held;
	bool		found;

	row_push_latest_snapshot();
	row_reader_open(&held, TABLE_ORDER_ITEMS, INDEX_ORDER_ITEMS_HELD_IDX, 1);
	row_reader_seek(&held, &product_id);
	found = row_reader_next(&held);
	row_reader_close(&held);
	PopActiveSnapshot();
	return found;
}

/* What archived orders have of a product for user $1. */
#define ARCHIVED_UNITS(product) \
	"coalesce((SELECT u.units FROM commerce_private.archived_units u " \
	"WHERE u.user_id OPERATOR(pg_catalog.=) $1 AND u.product_id OPERATOR(pg_catalog.=) " product "), 0)"

void
order_items_require_limit(int64 user_id, int64 product_id, int64 asked, int64 limit, int index)
{
	static SqlStatement count = {
		"SELECT coalesce(pg_catalog.sum(i.quantity), 0)::pg_catalog.int8 OPERATOR(pg_catalog.+) " ARCHIVED_UNITS("$2") " "
		"FROM commerce.order_items i "
		"WHERE i.limited_user_id OPERATOR(pg_catalog.=) $1 "
		"AND coalesce(i.replacement_product_id, i.product_id) OPERATOR(pg_catalog.=) $2 "
		"AND i.status OPERATOR(pg_catalog.<>) ALL ('{CANCELLED,RETURNED}'::commerce.order_item_status[])",
		2, {INT8OID, INT8OID}, SQL_LATEST
	};
	int64		counted = 0;

	(void) sql_get_int64(&count, SQL_ARGS(Int64GetDatum(user_id), Int64GetDatum(product_id)), &counted);
	if (asked > limit - counted)
		raise_error(ERROR_PURCHASE_LIMIT_EXCEEDED, D_INT("product_id", product_id), D_INT("asked", asked),
					D_INT("limit", limit), D_INT("counted", counted), D_INT_IF(index >= 0, "index", index));
}

bool
order_items_exceed_limit(int64 user_id, int64 order_id, int64 product_id)
{
	static SqlStatement find = {
		"WITH counted AS (SELECT i.id, i.order_id, i.quantity, i.user_limit FROM commerce.order_items i "
		"  WHERE i.limited_user_id OPERATOR(pg_catalog.=) $1 "
		"  AND coalesce(i.replacement_product_id, i.product_id) OPERATOR(pg_catalog.=) $3 "
		"  AND (i.order_id OPERATOR(pg_catalog.=) $2 OR i.status NOT IN ('CANCELLED', 'RETURNED'))) "
		"SELECT FROM counted c "
		"HAVING pg_catalog.sum(c.quantity) OPERATOR(pg_catalog.+) " ARCHIVED_UNITS("$3") " OPERATOR(pg_catalog.>) "
		"  (SELECT l.user_limit FROM counted l JOIN commerce.orders o ON o.id OPERATOR(pg_catalog.=) l.order_id "
		"   ORDER BY o.created_at DESC, l.id DESC LIMIT 1) "
		"AND pg_catalog.bool_or(c.order_id OPERATOR(pg_catalog.=) $2)",
		3, {INT8OID, INT8OID, INT8OID}, SQL_LATEST
	};

	return sql_exists(&find, SQL_ARGS(Int64GetDatum(user_id), Int64GetDatum(order_id), Int64GetDatum(product_id)));
}

static void
write_history(RowWriter *writer, const OrderItem *item, int ordinal, int from, OrderItemStatus to, const Actor *actor)
{
	Row			row = {0};

	row_put_int64(&row, ORDER_ITEM_EVENTS_ORDER_ITEM_ID, item->id);
	row_put_int32(&row, ORDER_ITEM_EVENTS_ORDINAL, ordinal);
	if (from != NO_STATUS)
		row_put_label(&row, ORDER_ITEM_EVENTS_FROM_STATUS, TYPE_ORDER_ITEM_STATUS, from);
	row_put_label(&row, ORDER_ITEM_EVENTS_EVENT, TYPE_ORDER_ITEM_STATUS, to);
	row_put_int64(&row, ORDER_ITEM_EVENTS_QUANTITY, item->line.quantity);
	row_put_time(&row, ORDER_ITEM_EVENTS_AT, GetCurrentTransactionStartTimestamp());
	row_put_label(&row, ORDER_ITEM_EVENTS_ACTOR, TYPE_ACTOR_KIND, actor->kind);
	row_put_id(&row, ORDER_ITEM_EVENTS_ACTOR_ID, actor->id);
	row_put_text(&row, ORDER_ITEM_EVENTS_NOTE, actor->note);
	row_put_int64(&row, ORDER_ITEM_EVENTS_XID, current_key());
	if (item->restocked != NOTHING_CAME)
		row_put_bool(&row, ORDER_ITEM_EVENTS_RESTOCKED, item->restocked == RESTOCKED);
	row_writer_insert(writer, &row);
}

/* Inserts a row of history for each of n items, which came from another status and whose last_event is its ordinal. */
static void
record_step(OrderItem *const *items, int n, OrderItemStatus from, OrderItemStatus to, const Actor *actor)
{
	RowWriter	writer;

	row_writer_open(&writer, TABLE_ORDER_ITEM_EVENTS, ORDER_ITEM_EVENTS_COLUMNS);
	for (int i = 0; i < n; i++)
		write_history(&writer, items[i], items[i]->last_event, from, to, actor);
	row_writer_close(&writer);
}

void
order_items_record_first(const OrderItem *items, int n, int64 buyer_id, bool paid)
{
	OrderItemStatus first = paid ? ORDER_ITEM_STATUS_PAID : ORDER_ITEM_STATUS_PENDING_PAYMENT;
	Actor		buyer = {ACTOR_KIND_BUYER, buyer_id, NULL};
	RowWriter	writer;

	row_writer_open(&writer, TABLE_ORDER_ITEM_EVENTS, ORDER_ITEM_EVENTS_COLUMNS);
	for (int i = 0; i < n; i++)
	{
		const OrderItem *item = &items[i];

		write_history(&writer, item, 1, NO_STATUS, first, &buyer);
		if (item->status != first)
			write_history(&writer, item, 2, first, item->status, &actor_system);
	}
	row_writer_close(&writer);
}

OrderItem *
order_items_read(int64 order_id, int *n)
{
	static SqlStatement read = {
		"SELECT i.id, i.seq, i.product_id, i.seller_id, i.product_name, i.status, "
		"i.quantity, i.unit_price, i.unit_discount, i.unit_final, i.line_total, i.order_discount_share, "
		"i.shipping_fee, i.shipping_discount, i.coupon_issue_id, i.split_from, "
		"i.delivered_at, i.line, i.tax_exempt, i.user_limit, i.replacement_product_id, i.shipment_id, "
		"i.deduction, i.own_shipping, i.lost, i.split_quantity, i.split_net, i.last_event "
		"FROM commerce.order_items i WHERE i.order_id OPERATOR(pg_catalog.=) $1 ORDER BY i.seq",
		1, {INT8OID}
	};
	SqlResult	rows = sql_query(&read, SQL_ARGS(Int64GetDatum(order_id)));
	OrderItem  *items = palloc0(2 * rows.n * sizeof(OrderItem));

	for (int i = 0; result_next(&rows); i++)
	{
		OrderItem  *item = &items[i];
		Line	   *line = &item->line;

		item->id = result_int64(&rows, "id");
		item->seq = result_int32(&rows, "seq");
		line->product_id = result_int64(&rows, "product_id");
		line->seller_id = result_int64(&rows, "seller_id");
		line->product_name = result_text(&rows, "product_name");
		item->status = result_label(&rows, "status", TYPE_ORDER_ITEM_STATUS);
		line->quantity = result_int64(&rows, "quantity");
		line->unit_price = result_int64(&rows, "unit_price");
		line->unit_discount = result_int64(&rows, "unit_discount");
		line->unit_final = result_int64(&rows, "unit_final");
		line->line_total = result_int64(&rows, "line_total");
		line->order_discount_share = result_int64(&rows, "order_discount_share");
		line->shipping_fee = result_int64(&rows, "shipping_fee");
		line->shipping_discount = result_int64(&rows, "shipping_discount");
		line->coupon_issue_id = result_int64(&rows, "coupon_issue_id");
		item->split_from = result_int64(&rows, "split_from");
		item->delivered_at = result_time(&rows, "delivered_at");
		line->number = result_int32(&rows, "line");
		line->tax_exempt = result_bool(&rows, "tax_exempt");
		line->user_limit = result_int64(&rows, "user_limit");
		item->replacement_product_id = result_int64(&rows, "replacement_product_id");
		item->shipment_id = result_int64(&rows, "shipment_id");
		item->deduction = result_int64(&rows, "deduction");
		line->own_shipping = result_bool(&rows, "own_shipping");
		item->lost = result_bool(&rows, "lost");
		item->split_quantity = result_int64(&rows, "split_quantity");
		item->split_net = result_int64(&rows, "split_net");
		item->last_event = result_int32(&rows, "last_event");
	}
	*n = (int) rows.n;
	return items;
}

int64
order_item_order(int64 item_id, int64 *seller_id)
{
	static SqlStatement read = {
		"SELECT i.order_id, i.seller_id FROM commerce.order_items i WHERE i.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};
	SqlResult	item = sql_query(&read, SQL_ARGS(Int64GetDatum(item_id)));

	if (!result_next(&item))
		return 0;
	*seller_id = result_int64(&item, "seller_id");
	return result_int64(&item, "order_id");
}

bool
order_items_are_sellers(int64 order_id, int64 seller_id)
{
	static SqlStatement others = {
		"SELECT FROM commerce.order_items i WHERE i.order_id = $1 AND i.seller_id IS DISTINCT FROM $2 LIMIT 1",
		2, {INT8OID, INT8OID}
	};

	return !sql_exists(&others, SQL_ARGS(Int64GetDatum(order_id), Int64GetDatum(seller_id)));
}

Datum
order_item_row(int64 item_id)
{
	static SqlStatement read = {
		"SELECT i::commerce.order_items FROM commerce.order_items i WHERE i.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}
	};

	return sql_get_row(&read, SQL_ARGS(Int64GetDatum(item_id)));
}

Datum
order_item_stored(Datum stored)
{
	static SqlStatement populate = {
		"SELECT r FROM pg_catalog.jsonb_populate_record(NULL::commerce.order_items, $1) AS r", 1, {JSONBOID}
	};

	return sql_get_row(&populate, &stored);
}

void
order_item_store(const OrderItem *item, int64 user_id)
{
	static SqlStatement update = {
		"UPDATE commerce.order_items AS i SET quantity = $2, line_total = $3, order_discount_share = $4, "
		"split_quantity = $5, split_net = $6, deduction = $7, lost = $8, replacement_product_id = nullif($9, 0), "
		"user_limit = nullif($10, 0), limited_user_id = CASE WHEN $10 OPERATOR(pg_catalog.>) 0 THEN $11 END "
		"WHERE i.id OPERATOR(pg_catalog.=) $1",
		11, {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, BOOLOID, INT8OID, INT8OID, INT8OID}
	};
	const Line *line = &item->line;

	sql_do(&update, SQL_ARGS(Int64GetDatum(item->id), Int64GetDatum(line->quantity), Int64GetDatum(line->line_total),
							 Int64GetDatum(line->order_discount_share), Int64GetDatum(item->split_quantity),
							 Int64GetDatum(item->split_net), Int64GetDatum(item->deduction), BoolGetDatum(item->lost),
							 Int64GetDatum(item->replacement_product_id), Int64GetDatum(line->user_limit),
							 Int64GetDatum(user_id)));
}

void
order_item_set_shipment(OrderItem *item, int64 shipment_id)
{
	static SqlStatement update = {
		"UPDATE commerce.order_items AS i SET shipment_id = $2 WHERE i.id OPERATOR(pg_catalog.=) $1", 2, {INT8OID, INT8OID}
	};

	item->shipment_id = shipment_id;
	sql_do(&update, SQL_ARGS(Int64GetDatum(item->id), Int64GetDatum(shipment_id)));
}

int64
order_item_product(const OrderItem *item)
{
	return item->replacement_product_id ? item->replacement_product_id : item->line.product_id;
}

bool
order_item_never_came(const OrderItem *item)
{
	return item->status == ORDER_ITEM_STATUS_CANCELLED || (item->status == ORDER_ITEM_STATUS_RETURNED && item->lost);
}

int64
order_item_net(const OrderItem *item)
{
	return item->line.line_total - item->line.order_discount_share;
}

/* Looks a step up: 1 when it is for a single item, 2 when it is for a whole order, 0 when there is none. */
static int
find_transition(const OrderItem *item, OrderItemStatus status, const Actor *actor)
{
	static SqlStatement find = {
		"SELECT t.whole_order FROM commerce.order_item_transitions t "
		"WHERE t.from_status OPERATOR(pg_catalog.=) ($1::pg_catalog.text)::commerce.order_item_status "
		"AND t.to_status OPERATOR(pg_catalog.=) ($2::pg_catalog.text)::commerce.order_item_status "
		"AND t.actor OPERATOR(pg_catalog.=) ($3::pg_catalog.text)::commerce.actor_kind",
		3, {TEXTOID, TEXTOID, TEXTOID}
	};
	SqlResult	step = sql_query(&find, SQL_ARGS(catalog_label_text(TYPE_ORDER_ITEM_STATUS, item->status),
												 catalog_label_text(TYPE_ORDER_ITEM_STATUS, status),
												 catalog_label_text(TYPE_ACTOR_KIND, actor->kind)));

	if (!result_next(&step))
		return 0;
	return result_bool(&step, "whole_order") ? 2 : 1;
}

bool
order_item_may_change(const OrderItem *item, OrderItemStatus status, const Actor *actor, bool whole_order)
{
	return find_transition(item, status, actor) == (whole_order ? 2 : 1);
}

void
order_item_refuse_change(const OrderItem *item, OrderItemStatus status, const Actor *actor)
{
	raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order_item"), D_INT("id", item->id),
				D_TEXT("from", catalog_label_name(TYPE_ORDER_ITEM_STATUS, item->status)),
				D_TEXT("to", catalog_label_name(TYPE_ORDER_ITEM_STATUS, status)),
				D_TEXT("actor", catalog_label_name(TYPE_ACTOR_KIND, actor->kind)));
}

void
order_items_set_status(OrderItem *const *items, int n, OrderItemStatus status, int64 shipment_id, const Actor *actor)
{
	static SqlStatement update = {
		"UPDATE commerce.order_items AS i SET status = ($2::pg_catalog.text)::commerce.order_item_status, "
		"last_event = i.last_event OPERATOR(pg_catalog.+) 1, shipment_id = nullif($3, 0), "
		"delivered_at = CASE WHEN $4 THEN pg_catalog.now() ELSE i.delivered_at END "
		"WHERE i.id OPERATOR(pg_catalog.=) ANY ($1)",
		4, {INT8ARRAYOID, TEXTOID, INT8OID, BOOLOID}
	};
	OrderItemStatus from = items[0]->status;
	bool		delivered = (status == ORDER_ITEM_STATUS_DELIVERED && from == ORDER_ITEM_STATUS_IN_TRANSIT) ||
		status == ORDER_ITEM_STATUS_EXCHANGED;
	int64	   *ids = palloc(n * sizeof(int64));

	if (!find_transition(items[0], status, actor))
		order_item_refuse_change(items[0], status, actor);
	for (int i = 0; i < n; i++)
	{
		ids[i] = items[i]->id;
		if (shipment_id)
			items[i]->shipment_id = shipment_id;
		else if (status == ORDER_ITEM_STATUS_PREPARING)
			items[i]->shipment_id = 0;
		if (delivered)
			items[i]->delivered_at = GetCurrentTransactionStartTimestamp();
		items[i]->last_event++;
		items[i]->status = status;
	}
	/* items of one step may have gone with several parcels */
	for (int i = 0, first = 0; i < n; i++)
	{
		if (i + 1 < n && items[i + 1]->shipment_id == items[first]->shipment_id)
			continue;
		sql_do(&update, SQL_ARGS(sql_int8_array(ids + first, i + 1 - first),
								 catalog_label_text(TYPE_ORDER_ITEM_STATUS, status),
								 Int64GetDatum(items[first]->shipment_id), BoolGetDatum(delivered)));
		first = i + 1;
	}
	record_step(items, n, from, status, actor);
}

bool
order_items_given_up(int64 order_id)
{
	static SqlStatement find = {
		"SELECT FROM commerce.order_items i, LATERAL (SELECT e.actor FROM commerce.order_item_events e "
		"  WHERE e.order_item_id OPERATOR(pg_catalog.=) i.id AND e.event OPERATOR(pg_catalog.=) 'CANCELLED' "
		"  ORDER BY e.ordinal DESC LIMIT 1) e "
		"WHERE i.order_id OPERATOR(pg_catalog.=) $1 AND e.actor OPERATOR(pg_catalog.<>) 'SYSTEM'",
		1, {INT8OID}
	};

	return !sql_exists(&find, SQL_ARGS(Int64GetDatum(order_id)));
}

int64 *
order_items_find_delivered(TimestampTz delivered_until, int64 max, int64 skipped, int *n)
{
	static SqlStatement find = {
		SWEEP_DUE("SELECT i.order_id AS id, pg_catalog.min(i.delivered_at) AS at FROM commerce.order_items i "
				  "WHERE (i.status OPERATOR(pg_catalog.=) 'DELIVERED' OR i.status OPERATOR(pg_catalog.=) 'EXCHANGED') "
				  "AND i.delivered_at OPERATOR(pg_catalog.<=) $3 GROUP BY i.order_id"),
		3, {INT8OID, INT8OID, TIMESTAMPTZOID}
	};

	return sql_ids(&find, SQL_ARGS(Int64GetDatum(max), Int64GetDatum(skipped), TimestampTzGetDatum(delivered_until)), n);
}

static int
compare_moves(const void *a, const void *b)
{
	const StockMove *ma = a;
	const StockMove *mb = b;

	if (ma->product_id != mb->product_id)
		return ma->product_id < mb->product_id ? -1 : 1;
	return ma->order_item_id < mb->order_item_id ? -1 : ma->order_item_id > mb->order_item_id;
}

StockMove *
order_items_stock_moves(OrderItem *const *items, int n)
{
	StockMove  *moves = palloc(n * sizeof(StockMove));

	for (int i = 0; i < n; i++)
		moves[i] = (StockMove) {order_item_product(items[i]), items[i]->line.quantity, items[i]->id};
	qsort(moves, n, sizeof(StockMove), compare_moves);
	return moves;
}
