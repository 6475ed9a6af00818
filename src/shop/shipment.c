/*
 * shipment.c
 *	  Parcels: dispatching items, where a parcel is, and whom an order is delivered to; owns commerce.shipments.
 *
 * A parcel has items of one order and one seller; an item names the parcel that it went with last.  A shipments row is
 * written and changed under the lock of its order's row.
 *
 * Lock order: gate, key, user's row, order's row.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "shop/archive.h"
#include "shop/idempotency.h"
#include "shop/order_event.h"
#include "shop/step.h"
#include "shop/terms.h"
#include "shop/user.h"

#define MAX_ITEMS	1000		/* of a parcel */

PG_FUNCTION_INFO_V1(commerce_change_shipment_status);
PG_FUNCTION_INFO_V1(commerce_dispatch_items);
PG_FUNCTION_INFO_V1(commerce_update_delivery);
PG_FUNCTION_INFO_V1(commerce_update_shipment);

/* What is to be dispatched: the ids are distinct. */
typedef struct Dispatch
{
	int			n;
	int64	   *item_ids;
	int64	   *quantities;		/* NULL: all of each */
} Dispatch;

/* An array of bigint without nulls, of n elements (0: one or more). */
static int64 *
read_array(ArrayType *array, const char *name, int *n)
{
	Datum	   *elements;
	bool	   *nulls;
	int64	   *values;

	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) > MAX_ITEMS || ARR_NDIM(array) != 1)
		raise_invalid(name, "must have 1 to %d elements", MAX_ITEMS);
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, &nulls, n);
	values = palloc(*n * sizeof(int64));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			raise_invalid(psprintf("%s[%d]", name, i), "must not be null");
		values[i] = DatumGetInt64(elements[i]);
	}
	return values;
}

static Dispatch
read_dispatch(FunctionCallInfo fcinfo)
{
	Dispatch	dispatch = {0};
	int			n;

	dispatch.item_ids = read_array(DatumGetArrayTypeP(arg_datum(fcinfo, 0, "order_item_ids")), "order_item_ids", &dispatch.n);
	for (int i = 0; i < dispatch.n; i++)
		for (int j = 0; j < i; j++)
			if (dispatch.item_ids[i] == dispatch.item_ids[j])
				raise_invalid(psprintf("order_item_ids[%d]", i), "must not be named twice");
	if (PG_ARGISNULL(3))
		return dispatch;
	dispatch.quantities = read_array(PG_GETARG_ARRAYTYPE_P(3), "quantities", &n);
	if (n != dispatch.n)
		raise_invalid("quantities", "must be as many as order_item_ids");
	for (int i = 0; i < n; i++)
		if (dispatch.quantities[i] < 1)
			raise_invalid(psprintf("quantities[%d]", i), "must be 1 or more");
	return dispatch;
}

/* A text as part of what a key stands for: with its length, so that no two calls look the same. */
static void
append_text(StringInfo buf, text *value)
{
	if (value)
		appendStringInfo(buf, "%d:%s;", (int) VARSIZE_ANY_EXHDR(value), text_to_cstring(value));
	else
		appendStringInfoString(buf, "-;");
}

static char *
dispatch_canonical(const Dispatch *dispatch, text *carrier, text *tracking_number, const Actor *actor)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < dispatch->n; i++)
		appendStringInfo(&buf, INT64_FORMAT ":" INT64_FORMAT ";", dispatch->item_ids[i],
						 dispatch->quantities ? dispatch->quantities[i] : 0);
	append_text(&buf, carrier);
	append_text(&buf, tracking_number);
	appendStringInfoString(&buf, actor_canonical(actor));
	return buf.data;
}

/* Finds the items in their order, all of one seller. */
static OrderItem **
find_items(Order *order, const Dispatch *dispatch, const Actor *actor)
{
	OrderItem **items = palloc(dispatch->n * sizeof(OrderItem *));

	for (int i = 0; i < dispatch->n; i++)
	{
		int64		seller_id;

		items[i] = order_find_item(order, dispatch->item_ids[i]);
		if (items[i] == NULL && order_item_order(dispatch->item_ids[i], &seller_id) == 0)
			archive_raise_missing("order_item", dispatch->item_ids[i], actor);
		if (items[i] == NULL || items[i]->line.seller_id != items[0]->line.seller_id)
			raise_invalid(psprintf("order_item_ids[%d]", i), "must be of the order and the seller of the first");
	}
	return items;
}

/*
 * Whether the actor names the parcel of a replacement, of an item that is EXCHANGED, or DELIVERED again since a request
 * after it was withdrawn; any other item he dispatches.
 */
static bool
is_replacement(const OrderItem *item, const Actor *actor)
{
	if (item->status != ORDER_ITEM_STATUS_EXCHANGED &&
		(item->status != ORDER_ITEM_STATUS_DELIVERED || item->replacement_product_id == 0))
		return false;
	if (actor->kind != ACTOR_KIND_SELLER && actor->kind != ACTOR_KIND_ADMIN)
		order_item_refuse_change(item, ORDER_ITEM_STATUS_DISPATCHED, actor);
	return true;
}

/* Inserts a parcel, and returns its row as a composite datum. */
static Datum
insert_shipment(Shipment *shipment)
{
	Row			row = {0};

	shipment->id = catalog_nextval(SEQUENCE_SHIPMENTS_ID);
	shipment->at = GetCurrentTransactionStartTimestamp();
	row_put_int64(&row, SHIPMENTS_ID, shipment->id);
	row_put_id(&row, SHIPMENTS_SELLER_ID, shipment->seller_id);
	row_put_int64(&row, SHIPMENTS_ORDER_ID, shipment->order_id);
	row_put_text(&row, SHIPMENTS_CARRIER, shipment->carrier);
	row_put_text(&row, SHIPMENTS_TRACKING_NUMBER, shipment->tracking_number);
	row_put_time(&row, SHIPMENTS_AT, shipment->at);
	return row_insert_returning(TABLE_SHIPMENTS, SHIPMENTS_COLUMNS, &row);
}

/* Takes the items on their way: those that are PREPARING are dispatched, replacements name their parcel. */
static void
send(Order *order, OrderItem **items, int n, const Shipment *shipment, const Actor *actor)
{
	const Step	dispatch = {.status = ORDER_ITEM_STATUS_DISPATCHED, .actor = actor, .shipment_id = shipment->id};
	OrderItem **preparing = palloc(n * sizeof(OrderItem *));
	int			npreparing = 0;

	for (int i = 0; i < n; i++)
	{
		if (items[i]->status == ORDER_ITEM_STATUS_PREPARING)
			preparing[npreparing++] = items[i];
		else
			order_item_set_shipment(items[i], shipment->id);
	}
	if (npreparing > 0)
		(void) step_items(order, preparing, npreparing, &dispatch);
	else
		(void) order_save(order);
}

static Datum
shipment_stored(Datum stored)
{
	static SqlStatement populate = {
		"SELECT r FROM pg_catalog.jsonb_populate_record(NULL::commerce.shipments, $1) AS r", 1, {JSONBOID}
	};

	return sql_get_row(&populate, &stored);
}

/*
 * dispatch_items(order_item_ids bigint[], carrier text, tracking_number text, quantities bigint[], actor actor_kind,
 *				  actor_id bigint, idempotency_key text)
 *
 * Returns the shipments row.
 */
Datum
commerce_dispatch_items(PG_FUNCTION_ARGS)
{
	Dispatch	dispatch;
	text	   *carrier = arg_text_or_null(fcinfo, 1, "carrier");
	text	   *tracking_number = arg_text_or_null(fcinfo, 2, "tracking_number");
	text	   *key = arg_text_or_null(fcinfo, 6, "idempotency_key");
	Actor		actor;
	IdempotentCall call;
	int64		seller_id;
	int64		order_id;
	Order	   *order;
	OrderItem  *first;
	OrderItem **items;
	Shipment	shipment = {0};
	Datum		row;

	gate_enter("dispatch_items()");
	dispatch = read_dispatch(fcinfo);
	actor = actor_get_without_note(fcinfo, 4);
	order_id = order_item_order(dispatch.item_ids[0], &seller_id);
	idempotency_init(&call, idempotency_scope("order", order_id), "dispatch_items", key,
					 key ? dispatch_canonical(&dispatch, carrier, tracking_number, &actor) : NULL);
	if (idempotency_begin(&call, &row))
		PG_RETURN_DATUM(shipment_stored(row));

	order = step_lock_item(dispatch.item_ids[0], &actor, &first);
	items = find_items(order, &dispatch, &actor);
	for (int i = 0; i < dispatch.n; i++)
	{
		int64		quantity = dispatch.quantities ? dispatch.quantities[i] : 0;

		if (!is_replacement(items[i], &actor))
			items[i] = step_take_part(order, items[i], ORDER_ITEM_STATUS_DISPATCHED, &actor, quantity);
		else if (quantity > 0 && quantity != items[i]->line.quantity)
			raise_invalid(psprintf("quantities[%d]", i), "must be all units of an exchanged item");
	}
	shipment.seller_id = items[0]->line.seller_id;
	shipment.order_id = order->id;
	shipment.carrier = carrier ? text_to_cstring(carrier) : NULL;
	shipment.tracking_number = tracking_number ? text_to_cstring(tracking_number) : NULL;
	row = insert_shipment(&shipment);
	send(order, items, dispatch.n, &shipment, &actor);
	order_write_shipment(order, "ShipmentCreated", &shipment, items, dispatch.n, &actor);
	idempotency_end(&call, row);
	PG_RETURN_DATUM(row);
}

/* Reads a parcel that is the actor's; raises ENTITY_NOT_FOUND. */
static Shipment
read_shipment(int64 shipment_id, const Actor *actor)
{
	static SqlStatement read = {
		"SELECT s.seller_id, s.order_id, s.carrier, s.tracking_number, s.at FROM commerce.shipments s "
		"WHERE s.id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}
	};
	SqlResult	row = sql_query(&read, SQL_ARGS(Int64GetDatum(shipment_id)));
	Shipment	shipment = {.id = shipment_id};

	if (!result_next(&row))
		archive_raise_missing("shipment", shipment_id, actor);
	shipment.seller_id = result_int64(&row, "seller_id");
	shipment.order_id = result_int64(&row, "order_id");
	shipment.carrier = result_text(&row, "carrier");
	shipment.tracking_number = result_text(&row, "tracking_number");
	shipment.at = result_time(&row, "at");
	if (actor->id != 0 &&
		((actor->kind == ACTOR_KIND_SELLER && shipment.seller_id != actor->id) ||
		 (actor->kind == ACTOR_KIND_BUYER && order_user(shipment.order_id) != actor->id)))
		raise_not_found("shipment", shipment_id);
	return shipment;
}

/* The items of a parcel that have a status. */
static OrderItem **
items_with_status(const Order *order, int64 shipment_id, OrderItemStatus status, int *n)
{
	OrderItem **items = palloc(order->nitems * sizeof(OrderItem *));

	*n = 0;
	for (int i = 0; i < order->nitems; i++)
		if (order->items[i].shipment_id == shipment_id && order->items[i].status == status)
			items[(*n)++] = &order->items[i];
	return items;
}

/* Takes the items of a parcel that are in one status to another; answers how many. */
static int
move_items(Order *order, const Shipment *shipment, OrderItemStatus from, OrderItemStatus to, const Actor *actor)
{
	const Step	step = {.status = to, .actor = actor};
	int			n;
	OrderItem **items = items_with_status(order, shipment->id, from, &n);

	if (n == 0)
		return 0;
	if (!order_item_may_change(items[0], to, actor, false))
		order_item_refuse_change(items[0], to, actor);
	(void) step_items(order, items, n, &step);
	order_write_shipment(order, "ShipmentChanged", shipment, items, n, actor);
	return n;
}

/*
 * change_shipment_status(shipment_id bigint, new_status order_item_status, actor actor_kind, actor_id bigint, note text)
 *
 * Returns how many items were moved.
 */
Datum
commerce_change_shipment_status(PG_FUNCTION_ARGS)
{
	int64		shipment_id;
	OrderItemStatus status;
	Actor		actor;
	Shipment	shipment;
	Order	   *order;
	int			moved;

	gate_enter("change_shipment_status()");
	shipment_id = arg_int64(fcinfo, 0, "shipment_id");
	status = arg_label(fcinfo, 1, "new_status", TYPE_ORDER_ITEM_STATUS);
	actor = actor_get(fcinfo, 2);
	if (status != ORDER_ITEM_STATUS_IN_TRANSIT && status != ORDER_ITEM_STATUS_DELIVERED &&
		status != ORDER_ITEM_STATUS_PREPARING)
		raise_invalid("new_status", "must be IN_TRANSIT, DELIVERED or PREPARING");
	shipment = read_shipment(shipment_id, &actor);
	order = order_lock(shipment.order_id, false);
	/* its number may have been corrected while the order was waited for */
	shipment = read_shipment(shipment_id, &actor);
	moved = move_items(order, &shipment, ORDER_ITEM_STATUS_DISPATCHED,
					   status == ORDER_ITEM_STATUS_DELIVERED ? ORDER_ITEM_STATUS_IN_TRANSIT : status, &actor);
	if (status == ORDER_ITEM_STATUS_DELIVERED)
		moved = move_items(order, &shipment, ORDER_ITEM_STATUS_IN_TRANSIT, status, &actor);
	PG_RETURN_INT32(moved);
}

/*
 * Judges the actor of update_shipment(), who is named by the id of a user: the parcel's seller, active or not, as who
 * dispatches, or an administrator.
 */
static Actor
judge_who(int64 user_id, int64 seller_id)
{
	static SqlStatement is_seller = {
		"SELECT FROM commerce.sellers s WHERE s.id OPERATOR(pg_catalog.=) $1 AND s.user_id OPERATOR(pg_catalog.=) $2",
		2, {INT8OID, INT8OID}
	};
	static SqlStatement judge = {"SELECT commerce_private.require_who($1)", 1, {INT8OID}};

	if (sql_exists(&is_seller, SQL_ARGS(Int64GetDatum(seller_id), Int64GetDatum(user_id))))
		return (Actor) {ACTOR_KIND_SELLER, seller_id, NULL};
	sql_do(&judge, SQL_ARGS(Int64GetDatum(user_id)));
	return (Actor) {ACTOR_KIND_ADMIN, user_id, NULL};
}

/*
 * update_shipment(shipment_id bigint, carrier text, tracking_number text, actor_id bigint, note text)
 *
 * Returns the shipments row.
 */
Datum
commerce_update_shipment(PG_FUNCTION_ARGS)
{
	static SqlStatement update = {
		"UPDATE commerce.shipments AS s SET carrier = coalesce($2, s.carrier), "
		"tracking_number = coalesce($3, s.tracking_number) WHERE s.id OPERATOR(pg_catalog.=) $1 "
		"RETURNING s.carrier, s.tracking_number, s::commerce.shipments AS row",
		3, {INT8OID, TEXTOID, TEXTOID}
	};
	int64		shipment_id;
	text	   *carrier = arg_text_or_null(fcinfo, 1, "carrier");
	text	   *tracking_number = arg_text_or_null(fcinfo, 2, "tracking_number");
	text	   *note = arg_text_or_null(fcinfo, 4, "note");
	Actor		actor = actor_system;
	char		nulls[] = {' ', carrier ? ' ' : 'n', tracking_number ? ' ' : 'n', '\0'};
	Shipment	shipment;
	Order	   *order;
	SqlResult	row;

	gate_enter("update_shipment()");
	shipment_id = arg_int64(fcinfo, 0, "shipment_id");
	shipment = read_shipment(shipment_id, &actor);
	if (!PG_ARGISNULL(3))
		actor = judge_who(PG_GETARG_INT64(3), shipment.seller_id);
	actor.note = note ? text_to_cstring(note) : NULL;
	order = order_lock(shipment.order_id, false);
	row = sql_query_with_nulls(&update, SQL_ARGS(Int64GetDatum(shipment_id), PointerGetDatum(carrier),
												 PointerGetDatum(tracking_number)), nulls);
	(void) result_next(&row);
	shipment.carrier = result_text(&row, "carrier");
	shipment.tracking_number = result_text(&row, "tracking_number");
	(void) order_save(order);
	order_write_shipment(order, "ShipmentChanged", &shipment, NULL, 0, &actor);
	PG_RETURN_DATUM(result_varlena(&row, "row"));
}

/* Whether an item is still to be sent; an order's delivery can be changed while one is, and none was. */
static bool
is_to_be_sent(OrderItemStatus status)
{
	return status == ORDER_ITEM_STATUS_PENDING_PAYMENT || status == ORDER_ITEM_STATUS_PAID ||
		status == ORDER_ITEM_STATUS_PREPARING || status == ORDER_ITEM_STATUS_CANCEL_REQUESTED;
}

static void
require_undelivered(const Order *order)
{
	bool		left = false;

	for (int i = 0; i < order->nitems; i++)
	{
		OrderItemStatus status = order->items[i].status;

		left = left || is_to_be_sent(status);
		if (!is_to_be_sent(status) && status != ORDER_ITEM_STATUS_CANCELLED && status != ORDER_ITEM_STATUS_CANCEL_PROCESSING)
			raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order"), D_INT("id", order->id),
						D_REASON(REASON_DISPATCHED));
	}
	if (!left)
		raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", "order"), D_INT("id", order->id),
					D_REASON(REASON_NOTHING_LEFT));
}

/*
 * update_delivery(order_id bigint, delivery jsonb, actor actor_kind, actor_id bigint, note text)
 *
 * Returns the orders row.
 */
Datum
commerce_update_delivery(PG_FUNCTION_ARGS)
{
	int64		order_id;
	Recipient	delivery = {0};
	Actor		actor;
	Order	   *order;
	Datum		row;

	gate_enter("update_delivery()");
	order_id = arg_int64(fcinfo, 0, "order_id");
	terms_read_delivery(&delivery, DatumGetJsonbP(arg_datum(fcinfo, 1, "delivery")));
	actor = actor_get(fcinfo, 2);
	/* who is suspended cancels, and sends goods nowhere else */
	if (actor.kind == ACTOR_KIND_BUYER && actor.id != 0)
		user_require_active(actor.id, false);
	order = step_lock_order(order_id, &actor);
	if (actor.kind != ACTOR_KIND_BUYER && actor.kind != ACTOR_KIND_ADMIN)
		raise_error(ERROR_FORBIDDEN, D_TEXT("role", catalog_label_name(TYPE_ACTOR_KIND, actor.kind)),
					D_REASON(REASON_BUYER_OR_ADMIN_ONLY));
	require_undelivered(order);
	if (delivery.name)
		order->recipient.name = delivery.name;
	if (delivery.phone)
		order->recipient.phone = delivery.phone;
	if (delivery.address)
		order->recipient.address = delivery.address;
	if (delivery.memo)
		order->recipient.memo = delivery.memo;
	row = order_store_recipient(order);
	order_write_delivery_changed(order, &actor);
	PG_RETURN_DATUM(row);
}
