-- Types: the words of the domain.

CREATE TYPE commerce.user_role AS ENUM ('BUYER', 'SELLER', 'ADMIN');
COMMENT ON TYPE commerce.user_role IS 'what a user is in the shop';

CREATE TYPE commerce.user_status AS ENUM ('ACTIVE', 'SUSPENDED', 'WITHDRAWN');
COMMENT ON TYPE commerce.user_status IS 'only an ACTIVE user may charge, order, claim or make order sheets';

CREATE TYPE commerce.product_status AS ENUM ('ON_SALE', 'SOLD_OUT', 'DISCONTINUED');
COMMENT ON TYPE commerce.product_status IS 'SOLD_OUT is never stored: views show it for an ON_SALE product with nothing available';

CREATE TYPE commerce.coupon_kind AS ENUM ('FIXED', 'PERCENT', 'FREE_SHIPPING');
COMMENT ON TYPE commerce.coupon_kind IS 'how a coupon or a promotion takes money off';

CREATE TYPE commerce.coupon_scope AS ENUM ('ORDER', 'SELLER', 'PRODUCT');
COMMENT ON TYPE commerce.coupon_scope IS 'what a coupon counts on: the whole order, the lines of one seller, or one product';

CREATE TYPE commerce.coupon_status AS ENUM ('SCHEDULED', 'ACTIVE', 'EXHAUSTED', 'EXPIRED', 'STOPPED');
COMMENT ON TYPE commerce.coupon_status IS 'a coupon as the view coupon_list shows it; never stored';

CREATE TYPE commerce.coupon_issue_status AS ENUM ('ACTIVE', 'USED', 'EXPIRED', 'REVOKED');
COMMENT ON TYPE commerce.coupon_issue_status IS 'state of one user''s coupon';

CREATE TYPE commerce.order_status AS ENUM
	('PENDING_PAYMENT', 'PAID', 'PARTIALLY_CANCELLED', 'COMPLETED', 'CANCELLED', 'REFUNDED');
COMMENT ON TYPE commerce.order_status IS 'state of an order, derived from its payment and its items';

CREATE TYPE commerce.order_item_status AS ENUM
	('PENDING_PAYMENT', 'PAID', 'PREPARING', 'DISPATCHED', 'IN_TRANSIT', 'DELIVERED', 'CONFIRMED',
	 'CANCEL_REQUESTED', 'CANCEL_PROCESSING', 'CANCELLED',
	 'RETURN_REQUESTED', 'RETURN_PROCESSING', 'RETURNED',
	 'EXCHANGE_REQUESTED', 'EXCHANGE_PROCESSING', 'EXCHANGED');
COMMENT ON TYPE commerce.order_item_status IS 'state of the units of one order_items row';

CREATE TYPE commerce.actor_kind AS ENUM ('BUYER', 'SELLER', 'ADMIN', 'SYSTEM');
COMMENT ON TYPE commerce.actor_kind IS 'who made a change';

CREATE TYPE commerce.payment_kind AS ENUM ('PAYMENT', 'REFUND', 'CHARGE');
COMMENT ON TYPE commerce.payment_kind IS 'what a payment is for: an order, to give money back, or a charge of the balance';

CREATE TYPE commerce.payment_method AS ENUM ('BALANCE', 'EXTERNAL');
COMMENT ON TYPE commerce.payment_method IS 'BALANCE: prepaid, paid at once; EXTERNAL: a payment provider answers later';

CREATE TYPE commerce.payment_status AS ENUM ('REQUESTED', 'COMPLETED', 'FAILED', 'EXPIRED', 'UNEXPECTED');
COMMENT ON TYPE commerce.payment_status IS 'state of a payment; UNEXPECTED: money that came and was not asked for';

CREATE TYPE commerce.balance_entry_kind AS ENUM ('CHARGE', 'PAYMENT', 'REFUND', 'ADJUST', 'OPENING');
COMMENT ON TYPE commerce.balance_entry_kind IS 'why a balance changed; OPENING: what was imported, or the sum of entries that were archived';

CREATE TYPE commerce.stock_reason AS ENUM ('INITIAL', 'ADJUST', 'ORDER', 'CANCEL', 'RETURN', 'EXPIRE', 'EXCHANGE', 'TRANSFER', 'OPENING');
COMMENT ON TYPE commerce.stock_reason IS 'why stock changed; OPENING: the sum of entries that were archived';

CREATE TYPE commerce.quota_reason AS ENUM ('INITIAL', 'CHANGE', 'TRANSFER');
COMMENT ON TYPE commerce.quota_reason IS 'why there may be more of a coupon, or fewer';

CREATE TYPE commerce.unit_kind AS ENUM ('STOCK', 'QUOTA');
COMMENT ON TYPE commerce.unit_kind IS 'what moves between cells: units of a product, or of a coupon';
