-- Parcels.

CREATE TABLE commerce.shipments (
	id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	seller_id       bigint REFERENCES commerce.sellers,
	order_id        bigint NOT NULL REFERENCES commerce.orders,
	carrier         text,
	tracking_number text,
	at              timestamptz NOT NULL DEFAULT pg_catalog.now()
);
-- with all that is shown: else a seller with few would be sought in everybody's
CREATE INDEX shipments_seller_id_idx ON commerce.shipments (seller_id, id) INCLUDE (order_id, carrier, tracking_number, at)
	WHERE seller_id IS NOT NULL;
CREATE INDEX shipments_order_id_idx ON commerce.shipments (order_id);
CREATE INDEX shipments_tracking_number_idx ON commerce.shipments (tracking_number) WHERE tracking_number IS NOT NULL;
COMMENT ON TABLE commerce.shipments IS 'parcels: items of one order and one seller that were dispatched together';
COMMENT ON COLUMN commerce.shipments.seller_id IS 'NULL: the shop itself';
COMMENT ON COLUMN commerce.shipments.at IS 'when it was dispatched';
SELECT pg_catalog.pg_extension_config_dump('commerce.shipments', '');
SELECT pg_catalog.pg_extension_config_dump('commerce.shipments_id_seq', '');
ALTER TABLE commerce.order_items
	ADD CONSTRAINT order_items_shipment_id_fkey FOREIGN KEY (shipment_id) REFERENCES commerce.shipments;
CREATE INDEX order_items_shipment_id_idx ON commerce.order_items (shipment_id) WHERE shipment_id IS NOT NULL;

CREATE FUNCTION commerce.dispatch_items(
	order_item_ids bigint[], carrier text DEFAULT NULL, tracking_number text DEFAULT NULL, quantities bigint[] DEFAULT NULL,
	actor commerce.actor_kind DEFAULT 'SELLER', actor_id bigint DEFAULT NULL, idempotency_key text DEFAULT NULL)
RETURNS commerce.shipments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_dispatch_items';
COMMENT ON FUNCTION commerce.dispatch_items(bigint[], text, text, bigint[], commerce.actor_kind, bigint, text) IS
	'sends items of one order and one seller as one parcel and returns it: PREPARING ones become DISPATCHED; an EXCHANGED one, or one that was exchanged and is DELIVERED again, names the parcel of its replacement. quantities: as long as the ids; a smaller number is split off. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION, IDEMPOTENCY_KEY_REUSED';

CREATE FUNCTION commerce.change_shipment_status(
	shipment_id bigint, new_status commerce.order_item_status, actor commerce.actor_kind DEFAULT 'SELLER',
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS int
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_change_shipment_status';
COMMENT ON FUNCTION commerce.change_shipment_status(bigint, commerce.order_item_status, commerce.actor_kind, bigint, text) IS
	'takes all items of a parcel that can go there to IN_TRANSIT, to DELIVERED (through IN_TRANSIT), or back to PREPARING (the parcel loses them), and returns how many; 0 when none can, so that a carrier''s message may come twice. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION';

CREATE FUNCTION commerce.update_shipment(
	shipment_id bigint, carrier text DEFAULT NULL, tracking_number text DEFAULT NULL,
	actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.shipments
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_update_shipment';
COMMENT ON FUNCTION commerce.update_shipment(bigint, text, text, bigint, text) IS
	'corrects carrier or tracking number of a parcel and returns it; NULL leaves as it is. actor_id: an active ADMIN, or the user of the parcel''s seller. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN';

CREATE FUNCTION commerce.update_delivery(
	order_id bigint, delivery jsonb, actor commerce.actor_kind, actor_id bigint DEFAULT NULL, note text DEFAULT NULL)
RETURNS commerce.orders
LANGUAGE C VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'commerce_update_delivery';
COMMENT ON FUNCTION commerce.update_delivery(bigint, jsonb, commerce.actor_kind, bigint, text) IS
	'changes the recipient of an order (name, phone, address, memo; what is not given stays) while something is left to send and nothing is dispatched, and returns the order. Errors: INVALID_REQUEST, ENTITY_NOT_FOUND, FORBIDDEN, INVALID_STATE_TRANSITION';
