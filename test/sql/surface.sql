-- What CREATE EXTENSION makes: types, tables, views, settings, marks for pg_dump. Queries that answer
-- with what is wrong answer nothing.

-- the words of the domain
SELECT t.typname AS type, string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) AS labels
FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid
WHERE t.typnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
  AND t.typname IN ('user_role', 'user_status', 'product_status', 'coupon_kind', 'coupon_scope', 'coupon_status',
					'coupon_issue_status', 'order_status', 'order_item_status', 'actor_kind', 'payment_kind',
					'payment_method', 'payment_status', 'balance_entry_kind', 'stock_reason')
GROUP BY 1 ORDER BY 1;

-- attributes of the domain that have no column
SELECT d.relation, a.attribute
FROM (VALUES
	('users', 'id external_id name email phone balance address role status erased_at metadata created_at updated_at'),
	('sellers', 'id user_id business_name registration_number cs_phone address category active shipping_fee free_shipping_from metadata'),
	('products', 'id seller_id name description price discount shipping_fee max_per_order category status'),
	('promotions', 'id product_id kind value starts_at ends_at'),
	('orders', 'id user_id status created_at updated_at paid_at items_total item_discount_total order_discount shipping_total payment_amount expires_at'),
	('order_items', 'id order_id seq product_id seller_id product_name status quantity unit_price unit_discount unit_final line_total order_discount_share shipping_fee split_from'),
	('order_item_events', 'order_item_id ordinal event quantity at actor actor_id note'),
	('payments', 'id order_id kind method status amount provider_event_id at'),
	('balance_entries', 'user_id number kind amount balance_after reference at'),
	('stock_entries', 'product_id delta reason order_item_id actor_id note at'),
	('quota_entries', 'coupon_id delta reason actor_id note at'),
	('coupons', 'id name description kind value max_discount round_unit min_order_amount scope seller_id quantity issue_from issue_until valid_until valid_days stopped_at created_at updated_at'),
	('coupon_issues', 'id user_id coupon_id name description kind value status issued_at expires_at used_at used_order_id'),
	('order_sheets', 'id user_id created_at expires_at consumed_order_id'),
	('outbox', 'id aggregatetype aggregateid type payload created_at era key position'),
	('popular_products', 'product_id'), ('product_daily_sales', 'product_id day units'), ('idempotency_keys', 'scope operation key result'),
	('product_list', 'id name description price price_now category seller_id stock status'),
	('order_list', 'id user_id status items payment_amount'),
	('coupon_list', 'id quantity remaining status'),
	('job_status', 'name last_finished_at last_error')) AS d (relation, attributes),
	LATERAL string_to_table(d.attributes, ' ') AS a (attribute)
WHERE NOT EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = coalesce(to_regclass('commerce.' || d.relation), to_regclass('commerce_private.' || d.relation)) AND c.attname = a.attribute)
ORDER BY 1, 2;

-- money and quantities are bigint, times are timestamptz; rates only are numeric
SELECT c.oid::regclass, a.attname, a.atttypid::regtype
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
  AND (a.atttypid IN ('float4'::regtype, 'float8'::regtype, 'money'::regtype, 'timestamp'::regtype)
	   OR c.relkind <> 'v' AND a.atttypid = 'numeric'::regtype AND c.relname <> 'conversion_windows'
	   OR a.attname ~ '(amount|total|price|fee|discount|balance|quantity)$' AND a.atttypid <> 'int8'::regtype)
ORDER BY 1, 2;

-- rows have only columns that every driver reads
SELECT c.oid::regclass, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'commerce_api'::regnamespace) AND a.atttypid = 'xid8'::regtype
ORDER BY 1, 2;
SELECT p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'commerce_api'::regnamespace)
  AND 'xid8'::regtype IN (SELECT p.prorettype UNION ALL SELECT unnest(p.proallargtypes));

-- things without a comment
SELECT 'function' AS kind, p.oid::regprocedure::text AS name FROM pg_proc p
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
UNION ALL SELECT 'relation', c.oid::regclass::text FROM pg_class c
WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm') AND coalesce(obj_description(c.oid, 'pg_class'), '') = ''
UNION ALL SELECT 'type', t.oid::regtype::text FROM pg_type t
WHERE t.typnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND coalesce(obj_description(t.oid, 'pg_type'), '') = ''
  AND (t.typtype IN ('e', 'd') OR t.typtype = 'c' AND (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')
ORDER BY 1, 2;

-- a comment on a column says something
SELECT d.objoid::regclass, d.objsubid FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
WHERE d.classoid = 'pg_class'::regclass AND c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND btrim(d.description) = '';

-- things in the schema that are not the extension's, and the other way round
SELECT 'relation' AS kind, c.oid::regclass::text AS name FROM pg_class c
WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind NOT IN ('i', 'I')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('e', 'i'))
UNION ALL SELECT 'function', p.oid::regprocedure::text FROM pg_proc p
WHERE p.pronamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
UNION ALL SELECT 'elsewhere', pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
WHERE x.extname = 'commerce' AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND coalesce(c.relnamespace, p.pronamespace, 'commerce'::regnamespace) NOT IN ('commerce'::regnamespace, 'commerce_private'::regnamespace, 'commerce_archive'::regnamespace, 'commerce_api'::regnamespace)
ORDER BY 1, 2;

-- tables and sequences that a dump leaves out: what the extension itself fills, and what never holds a row
SELECT c.oid::regclass AS not_dumped FROM pg_class c
WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind IN ('r', 'S')
  AND c.oid NOT IN (SELECT unnest(x.extconfig) FROM pg_extension x WHERE x.extname = 'commerce')
  AND c.relname NOT IN ('gate', 'jobs', 'event_types', 'order_item_transitions', 'own_parts')
  AND (c.relname !~ '^api_' OR c.relname = 'api_roles')
ORDER BY 1;

-- no dump of a part only
SELECT unnest(x.extcondition) AS condition FROM pg_extension x WHERE x.extname = 'commerce' EXCEPT VALUES ('');

-- every table but those without rows or of one row has a primary key, or its whole rows are its identity
SELECT c.oid::regclass AS no_primary_key FROM pg_class c
WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind = 'r' AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AND c.relreplident <> 'f'
  AND c.relname NOT IN ('gate', 'origin', 'outbox_purged', 'sales_fold', 'api_document')
ORDER BY 1;

-- tables that refer to one another in a circle cannot be restored
WITH RECURSIVE reference AS (
	SELECT DISTINCT conrelid AS source, confrelid AS target FROM pg_constraint
	WHERE contype = 'f' AND connamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND conrelid <> confrelid
), path AS (
	SELECT source, target FROM reference UNION SELECT p.source, r.target FROM path p JOIN reference r ON r.source = p.target
)
SELECT source::regclass AS in_a_circle FROM path WHERE source = target ORDER BY 1;

-- constraints that state the rules: hand-made rows that break them
CREATE FUNCTION pg_temp.violates(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	name text;
BEGIN
	EXECUTE statement;
	RETURN 'NOT REFUSED: ' || statement;
EXCEPTION WHEN check_violation OR unique_violation OR foreign_key_violation OR not_null_violation THEN
	GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME;
	RETURN SQLSTATE || ' ' || name;
END
$$;
BEGIN;
INSERT INTO commerce.users (name, email, balance) VALUES ('x', 'x@example.com', 100) RETURNING id AS u \gset
INSERT INTO commerce.products (name, price) VALUES ('x', 100) RETURNING id AS p \gset
INSERT INTO commerce.orders (user_id, status, payment_method, items_total, item_discount_total, order_discount, shipping_total, payment_amount, event_key)
VALUES (:u, 'PAID', 'BALANCE', 100, 10, 5, 3, 88, '0') RETURNING id AS o \gset
SELECT pg_temp.violates(replace(replace(replace(statement, ':u', :'u'), ':p', :'p'), ':o', :'o'))
FROM unnest(ARRAY[
	'UPDATE commerce.users SET balance = -1 WHERE id = :u',
	'UPDATE commerce.orders SET payment_amount = 89 WHERE id = :o',
	'UPDATE commerce.orders SET refunded_amount = 89 WHERE id = :o',
	'UPDATE commerce.orders SET refunded_amount = -1 WHERE id = :o',
	'UPDATE commerce.orders SET status = ''PENDING_PAYMENT'' WHERE id = :o',
	'INSERT INTO commerce.order_items (order_id, line, seq, product_id, product_name, status, quantity, unit_price, unit_discount, unit_final, line_total) VALUES (:o, 1, 1, :p, ''x'', ''PAID'', 2, 100, 10, 91, 182)',
	'INSERT INTO commerce.order_items (order_id, line, seq, product_id, product_name, status, quantity, unit_price, unit_discount, unit_final, line_total) VALUES (:o, 1, 1, :p, ''x'', ''PAID'', 2, 100, 10, 90, 181)',
	'INSERT INTO commerce.order_items (order_id, line, seq, product_id, product_name, status, quantity, unit_price, unit_discount, unit_final, line_total, order_discount_share) VALUES (:o, 1, 1, :p, ''x'', ''PAID'', 2, 100, 10, 90, 180, 181)',
	'UPDATE commerce.products SET discount = 101 WHERE id = :p',
	'UPDATE commerce.products SET status = ''SOLD_OUT'' WHERE id = :p',
	'INSERT INTO commerce.users (name, email) VALUES (''y'', ''X@EXAMPLE.com'')',
	'INSERT INTO commerce.products (seller_id, name, price) VALUES (0, ''x'', 1)',
	'INSERT INTO commerce.coupons (name, kind, value, quantity) VALUES (''x'', ''FIXED'', 1, 1)',
	'INSERT INTO commerce.coupons (name, kind, value, quantity, valid_days) VALUES (''x'', ''PERCENT'', 101, 1, 1)',
	'INSERT INTO commerce.coupons (name, kind, value, quantity, valid_days, product_id) VALUES (''x'', ''FREE_SHIPPING'', 0, 1, 1, :p)',
	'INSERT INTO commerce.balance_entries (user_id, number, kind, amount, balance_after) VALUES (:u, 1, ''CHARGE'', 0, 0)',
	'INSERT INTO commerce.stock_entries (product_id, delta, reason) VALUES (:p, 0, ''ADJUST'')'
]) WITH ORDINALITY AS s (statement, n) ORDER BY n;
ROLLBACK;

-- settings
SELECT commerce_private.local_date('2020-01-01 14:59:59Z'), commerce_private.local_date('2020-01-01 15:00:00Z');
SELECT name, context, boot_val, unit, vartype, enumvals FROM pg_settings
WHERE name IN ('commerce.auto_prepare', 'commerce.language', 'commerce.payment_ttl', 'commerce.timezone') ORDER BY name;
SELECT name AS undescribed FROM pg_settings WHERE name LIKE 'commerce.%' AND coalesce(short_desc, '') = '' ORDER BY name;
SET commerce.no_such_setting = 1;
SET commerce.timezone = 'Mars/Phobos';
SET commerce.language = 'fr';
-- versions word this differently
\set VERBOSITY sqlstate
SET commerce.payment_ttl = 0;
\set VERBOSITY default
SET commerce.timezone = 'America/New_York';
SELECT commerce_private.local_date('2020-01-01 04:59:59Z'), commerce_private.local_date('2020-01-01 05:00:00Z');
RESET commerce.timezone;
SELECT commerce_private.local_date('infinity');

-- the extension is at home in its schema only, and for superusers to create
SELECT extrelocatable, extnamespace::regnamespace FROM pg_extension WHERE extname = 'commerce';
SELECT superuser, trusted, relocatable, schema, requires FROM pg_available_extension_versions WHERE name = 'commerce' AND installed;

-- periodic jobs
SELECT name, schedule, function, max_rows FROM commerce_private.jobs WHERE name IN ('expire-coupons', 'fold', 'popular-products', 'purge-idempotency-keys') ORDER BY name;
