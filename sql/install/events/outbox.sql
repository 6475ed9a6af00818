-- Outbox: the events of everything that happened, written by the transaction in which it happened.

-- A ring of daily segments: a day's events are in segment (days since 1970-01-01, UTC) mod 16. A whole
-- segment is truncated once it is past the retention time and every subscription; no row is ever updated
-- or deleted, and nothing has to be created in time for an event to find its place.
CREATE TABLE commerce.outbox (
	id            uuid NOT NULL,
	era           bigint NOT NULL,
	key           bigint NOT NULL,
	position      bigint NOT NULL,
	created_at    timestamptz NOT NULL,
	segment       smallint NOT NULL,
	aggregatetype text NOT NULL,
	aggregateid   text NOT NULL,
	type          text NOT NULL,
	payload       jsonb NOT NULL
) PARTITION BY LIST (segment);
CREATE INDEX outbox_cursor_idx ON commerce.outbox (era, key, position);
COMMENT ON TABLE commerce.outbox IS 'append-only events; read them with fetch_events(), which skips none that commits late';
COMMENT ON COLUMN commerce.outbox.id IS 'unique id of the event, by which a consumer recognises a duplicate';
COMMENT ON COLUMN commerce.outbox.aggregatetype IS 'what the event is about: User, Seller, Order, Coupon, CouponIssue, OrderSheet, Product, Promotion, Conversion';
COMMENT ON COLUMN commerce.outbox.aggregateid IS 'id of that thing; events with the same id are in order';
COMMENT ON COLUMN commerce.outbox.type IS 'event type, such as OrderCreated';
COMMENT ON COLUMN commerce.outbox.era IS 'grows when history may have been cut: after a promotion, a recovery to a point in time, the restore of a dump';
COMMENT ON COLUMN commerce.outbox.key IS 'first order of reading: not below the writing transaction''s id, not below the key of the aggregate''s event before';
COMMENT ON COLUMN commerce.outbox.position IS 'second order of reading, within a key';
COMMENT ON COLUMN commerce.outbox.segment IS 'which day of the ring';

-- Events that are written together take theirs from one number.
CREATE SEQUENCE commerce_private.outbox_position_seq INCREMENT 16;
SELECT pg_catalog.pg_extension_config_dump('commerce_private.outbox_position_seq', '');

DO $$
DECLARE
	segment text;
BEGIN
	FOR n IN 0..15 LOOP
		segment := pg_catalog.format('commerce_private.outbox_%s', n);
		EXECUTE pg_catalog.format('CREATE TABLE %s PARTITION OF commerce.outbox FOR VALUES IN (%s)', segment, n);
		EXECUTE pg_catalog.format('COMMENT ON TABLE %s IS %L', segment, pg_catalog.format('segment %s of the outbox', n));
		PERFORM pg_catalog.pg_extension_config_dump(segment::pg_catalog.regclass, '');
	END LOOP;
END
$$;

CREATE FUNCTION commerce_private.begin_write()
RETURNS void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_begin_write';
COMMENT ON FUNCTION commerce_private.begin_write() IS
	'what every writing operation does first: refuses a read-only transaction, checks the origin, takes the gate';

CREATE FUNCTION commerce_private.write_event(
	aggregatetype text, aggregateid text, type text, payload jsonb, key bigint, "position" bigint DEFAULT 0)
RETURNS void
LANGUAGE C VOLATILE STRICT
AS 'MODULE_PATHNAME', 'commerce_write_event';
COMMENT ON FUNCTION commerce_private.write_event(text, text, text, jsonb, bigint, bigint) IS
	'appends an event; key is the aggregate''s event_key, set by the caller under the lock of its row; position: drawn before what else changes the aggregate could write an event, 0: it is drawn now';

CREATE TABLE commerce.event_types (
	type          text PRIMARY KEY,
	aggregatetype text NOT NULL,
	meaning       text NOT NULL
);
COMMENT ON TABLE commerce.event_types IS 'every type of event that the outbox can hold, and what it is about';
INSERT INTO commerce.event_types (type, aggregatetype, meaning) VALUES
	('UserCreated', 'User', 'a user was created'),
	('UserChanged', 'User', 'attributes of a user were changed'),
	('UserStatusChanged', 'User', 'a user was suspended, withdrawn or reactivated'),
	('UserErased', 'User', 'the personal data of a user was erased'),
	('SellerCreated', 'Seller', 'a user became a seller'),
	('SellerChanged', 'Seller', 'attributes of a seller were changed, or whether the seller sells'),
	('BalanceAdjusted', 'User', 'an admin corrected, granted or paid out'),
	('BalanceCharged', 'User', 'a user charged the prepaid balance'),
	('ChargeRequested', 'User', 'a charge waits for an external payment'),
	('ChargeFailed', 'User', 'the payment of a charge failed or timed out'),
	('OrderCreated', 'Order', 'an order was placed'),
	('OrderImported', 'Order', 'an order that was over before the shop moved here was imported'),
	('PaymentRequested', 'Order', 'an order waits for an external payment'),
	('PaymentCompleted', 'Order', 'an order was paid'),
	('PaymentFailed', 'Order', 'an external payment failed or timed out'),
	('OrderCancelled', 'Order', 'an order or a part of it was cancelled'),
	('PaymentUnexpected', 'Order', 'money came that was not asked for'),
	('RefundRequested', 'Order', 'money is to go back through the payment provider'),
	('RefundCompleted', 'Order', 'money went back'),
	('RefundFailed', 'Order', 'the payment provider could not give money back'),
	('RefundUnexpected', 'Order', 'a refund that had failed went through, after the money was refunded otherwise'),
	('DeliveryRequested', 'Order', 'a seller is to deliver its items of an order'),
	('DeliveryChanged', 'Order', 'the recipient of an order was changed'),
	('ShipmentCreated', 'Order', 'items of an order were dispatched as a parcel'),
	('ShipmentChanged', 'Order', 'a parcel has got somewhere, or its carrier or number was corrected'),
	('OrderItemStatusChanged', 'Order', 'an item of an order changed its status'),
	('CouponIssued', 'CouponIssue', 'a user claimed a coupon, or was given it'),
	('CouponUsed', 'CouponIssue', 'an order used a coupon'),
	('CouponRestored', 'CouponIssue', 'an order gave a coupon back'),
	('CouponExpired', 'CouponIssue', 'a coupon was marked expired'),
	('CouponRevoked', 'CouponIssue', 'a coupon was taken from a user'),
	('OrderSheetCreated', 'OrderSheet', 'a quote was made'),
	('ConversionAlert', 'Conversion', 'too few order sheets become orders'),
	('ProductCreated', 'Product', 'a product was put on sale'),
	('ProductChanged', 'Product', 'attributes of a product were changed'),
	('ProductStatusChanged', 'Product', 'a product was discontinued, or is on sale again'),
	('StockAdjusted', 'Product', 'somebody added units of a product, or took them off'),
	('StockDepleted', 'Product', 'the last unit of a product was sold'),
	('PromotionCreated', 'Promotion', 'a product is discounted for a time'),
	('PromotionChanged', 'Promotion', 'a promotion''s value or time was changed'),
	('PromotionEnded', 'Promotion', 'a promotion was ended before its time'),
	('CouponCreated', 'Coupon', 'a coupon was offered'),
	('CouponChanged', 'Coupon', 'attributes of a coupon were changed'),
	('CouponStopped', 'Coupon', 'a coupon is not issued any more');
