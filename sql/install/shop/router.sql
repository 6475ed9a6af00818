-- The router of a shop of several cells (docs/cells.md): a database of its own, in which functions with the names and
-- arguments of the contract call those of the cell that has the row, by PL/Proxy. What it is made of is text, which is
-- made here from the catalog.

-- Of a function which of its arguments names the row, or what else says where it runs.
CREATE FUNCTION commerce_private.router_route(f pg_catalog.pg_proc, OUT route text, OUT argument text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN (f).proname = ANY ('{create_seller,update_seller,create_product,update_product,set_product_status,adjust_stock,create_promotion,update_promotion,end_promotion,create_coupon,update_coupon,stop_coupon,reserve_user,error_codes}') THEN 'catalogue'
				WHEN (f).proname = ANY ('{available_stock,cell_of,cell_of_sheet,check_invariants,create_user,find_user,grant_app,metrics,popular_products,revoke_app,sales_report,sign_up,update_user}') THEN 'own'
				WHEN (f).proname = ANY ('{check_conversion,confirm_delivered_items,expire_coupons,expire_pending_orders,purge_idempotency_keys,purge_order_sheets,refresh_popular_products}') THEN 'sum'
				WHEN a.name IS NOT NULL THEN 'row' END,
		   a.name
	FROM (SELECT) one
	LEFT JOIN LATERAL (SELECT i.name FROM pg_catalog.unnest((f).proargnames) WITH ORDINALITY AS i (name, position)
					   WHERE i.name = ANY ('{user_id,order_id,order_item_id,order_item_ids,order_sheet_id,shipment_id,payment_id,coupon_issue_id}')
						 AND i.position <= (f).pronargs
					   ORDER BY i.position LIMIT 1) a ON true
$$;
COMMENT ON FUNCTION commerce_private.router_route(pg_catalog.pg_proc) IS
	'where the router runs a function: row, in the cell of the id that argument names; catalogue, in cell 0; sum, in all cells, adding up what they return; own, a way of its own; NULL: nowhere';

CREATE FUNCTION commerce_private.router_columns(relation regclass)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.string_agg(pg_catalog.format('l.%I', a.attname), ', ' ORDER BY a.attnum)
	FROM pg_catalog.pg_attribute a WHERE a.attrelid = router_columns.relation AND a.attnum > 0 AND NOT a.attisdropped
$$;
COMMENT ON FUNCTION commerce_private.router_columns(regclass) IS 'the columns of a table or view, of which l is the alias';

CREATE FUNCTION commerce_private.router_types()
RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.format('CREATE TYPE %s AS ENUM (%s);', t.oid::regtype,
		(SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid))
	FROM pg_catalog.pg_type t WHERE t.typnamespace = 'commerce'::regnamespace AND t.typtype = 'e'
	UNION ALL
	SELECT pg_catalog.format('CREATE TYPE %s AS (%s);', c.oid::regclass,
		(SELECT pg_catalog.string_agg(pg_catalog.format('%I %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
		 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
	FROM pg_catalog.pg_class c WHERE c.relnamespace = 'commerce'::regnamespace AND c.relkind IN ('r', 'v')
$$;
COMMENT ON FUNCTION commerce_private.router_types() IS 'the enums, and the rows of tables and views, as types of the router';

-- CREATE FUNCTION without its body. What the router runs in two steps has a first one with the cell before the arguments.
CREATE FUNCTION commerce_private.router_head(f regprocedure, language text, at_cell boolean)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.format('CREATE FUNCTION %s.%I(%s) RETURNS %s LANGUAGE %s AS ', CASE WHEN at_cell THEN 'router' ELSE 'commerce' END, p.proname,
		CASE WHEN at_cell THEN pg_catalog.concat_ws(', ', 'at_cell int', pg_catalog.pg_get_function_identity_arguments(p.oid)) ELSE pg_catalog.pg_get_function_arguments(p.oid) END,
		pg_catalog.pg_get_function_result(p.oid), language)
	FROM pg_catalog.pg_proc p WHERE p.oid = f
$$;
COMMENT ON FUNCTION commerce_private.router_head(regprocedure, text, boolean) IS
	'CREATE FUNCTION of a function of the router, up to its body; at_cell: in schema router, with a cell as first argument';

CREATE FUNCTION commerce_private.router_at_cell(f regprocedure)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.router_head(f, 'plproxy', true) || pg_catalog.quote_literal(pg_catalog.format('CONNECT router.conninfo(at_cell); SELECT %s commerce.%I(%s)%s;',
		CASE WHEN r.typrelid <> 0 THEN commerce_private.router_columns(r.typrelid) || ' FROM' ELSE '' END, p.proname,
		(SELECT pg_catalog.string_agg(pg_catalog.format('$%s', i + 1), ', ' ORDER BY i) FROM pg_catalog.generate_series(1, p.pronargs) AS i),
		CASE WHEN r.typrelid <> 0 THEN ' AS l' ELSE '' END)) || ';'
	FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type r ON r.oid = p.prorettype WHERE p.oid = f
$$;
COMMENT ON FUNCTION commerce_private.router_at_cell(regprocedure) IS 'a function of the router that calls one of the contract in the cell that is its first argument';

CREATE FUNCTION commerce_private.router_function(f regprocedure)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p pg_catalog.pg_proc;
	way record;
	arguments text;
	made text := '';
BEGIN
	SELECT * INTO STRICT p FROM pg_catalog.pg_proc q WHERE q.oid = f;
	way := commerce_private.router_route(p);
	IF way.route IN ('row', 'catalogue') THEN
		made := commerce_private.router_head(f, 'plproxy', false) || pg_catalog.quote_literal(
			CASE way.route WHEN 'row' THEN pg_catalog.format('CONNECT router.conninfo_of(%I);', way.argument) ELSE 'CONNECT router.conninfo(0);' END) || ';';
	ELSIF way.route = 'sum' THEN
		arguments := CASE p.pronargs WHEN 0 THEN '' ELSE '$1' END;
		made := pg_catalog.format('CREATE FUNCTION router.%I(%s) RETURNS SETOF bigint LANGUAGE plproxy AS %L;', p.proname,
			pg_catalog.pg_get_function_identity_arguments(f), pg_catalog.format($p$CLUSTER 'cells'; RUN ON ALL; SELECT commerce.%I(%s)::bigint;$p$, p.proname, arguments)) ||
			commerce_private.router_head(f, 'sql', false) || pg_catalog.quote_literal(
			pg_catalog.format('SELECT sum(n)::%s FROM router.%I(%s) AS n', p.prorettype::regtype, p.proname, arguments)) || ';';
	END IF;
	RETURN made || pg_catalog.format(E'\nCOMMENT ON FUNCTION commerce.%I(%s) IS %L;', p.proname, pg_catalog.pg_get_function_identity_arguments(f),
		pg_catalog.obj_description(f, 'pg_proc'));
END
$$;
COMMENT ON FUNCTION commerce_private.router_function(regprocedure) IS 'a function of the contract, as the router has it, and its comment';

CREATE FUNCTION commerce_private.router_functions(routes text[])
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.string_agg(commerce_private.router_function(p.oid), E'\n' ORDER BY p.proname)
	FROM pg_catalog.pg_proc p
	WHERE p.pronamespace = 'commerce'::regnamespace AND (commerce_private.router_route(p)).route = ANY (routes)
$$;
COMMENT ON FUNCTION commerce_private.router_functions(text[]) IS 'the functions that the router runs in one of these ways';

-- Where the cells are. PL/Proxy keeps a connection to each that is used, as the caller's own role.
CREATE FUNCTION commerce_private.router_cells(cells jsonb)
RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $outer$
SELECT $router$
CREATE TABLE router.cells (
	number int PRIMARY KEY CHECK (number BETWEEN 0 AND 8999),
	conninfo text NOT NULL,
	takes_users boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE router.cells IS 'the cells: a row added, or changed, counts from the next call on';
COMMENT ON COLUMN router.cells.conninfo IS 'as libpq has it, with keywords; without user, it is the caller''s own role';
COMMENT ON COLUMN router.cells.takes_users IS 'whether new users may go there';
CREATE TABLE router.version (number int NOT NULL);
INSERT INTO router.version VALUES (1);
CREATE FUNCTION router.changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE router.version SET number = number + 1;
	RETURN NULL;
END
$$;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON router.cells FOR EACH STATEMENT EXECUTE FUNCTION router.changed();

CREATE FUNCTION plproxy.get_cluster_version(cluster_name text) RETURNS int LANGUAGE sql STABLE
AS 'SELECT v.number FROM router.version v';
CREATE FUNCTION plproxy.get_cluster_config(cluster_name text, OUT key text, OUT val text) RETURNS SETOF record LANGUAGE sql STABLE
AS $$ SELECT 'modular_mapping', '1' $$;
-- A machine that is gone ends the calls that wait for it, after ten seconds or so; what the list says of that comes later, and counts.
CREATE FUNCTION router.reach(conninfo text) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT 'tcp_user_timeout=10000 keepalives_idle=5 keepalives_interval=1 keepalives_count=5 ' || conninfo $$;
CREATE FUNCTION plproxy.get_cluster_partitions(cluster_name text) RETURNS SETOF text LANGUAGE sql STABLE
AS 'SELECT router.reach(c.conninfo) FROM router.cells c ORDER BY c.number';

CREATE FUNCTION commerce.cell_of(id bigint) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS 'SELECT (id / 1000000000000)::int';
CREATE FUNCTION commerce.cell_of_sheet(order_sheet_id uuid) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
	SELECT CASE WHEN b.cell <= 8999 THEN b.cell END
	FROM (SELECT ('x' || right(order_sheet_id::text, 4))::bit(16)::int & 16383) AS b (cell)
$$;

-- What is nowhere is cell 0's to refuse.
CREATE FUNCTION router.conninfo(cell int) RETURNS text LANGUAGE sql STABLE
AS 'SELECT router.reach(c.conninfo) FROM router.cells c WHERE c.number IN (0, cell) ORDER BY c.number DESC LIMIT 1';
CREATE FUNCTION router.conninfo_of(id bigint) RETURNS text LANGUAGE sql STABLE
AS 'SELECT router.conninfo(commerce.cell_of(id))';
CREATE FUNCTION router.conninfo_of(ids bigint[]) RETURNS text LANGUAGE sql STABLE
AS 'SELECT router.conninfo(commerce.cell_of(ids[1]))';
CREATE FUNCTION router.conninfo_of(id uuid) RETURNS text LANGUAGE sql STABLE
AS 'SELECT router.conninfo(commerce.cell_of_sheet(id))';
$router$
UNION ALL
SELECT pg_catalog.format('INSERT INTO router.cells (number, conninfo) VALUES (%s, %L);', (c ->> 'number')::int, c ->> 'conninfo')
FROM pg_catalog.jsonb_array_elements(cells) AS c
$outer$;
COMMENT ON FUNCTION commerce_private.router_cells(jsonb) IS 'the router''s list of cells, and which of them an id is of';

-- Users sign up by the register in cell 0: the cell that it names is tried again by whoever comes with the same e-mail,
-- so that a reservation whose user was never made is used by the next try.
CREATE FUNCTION commerce_private.router_users()
RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $outer$
SELECT pg_catalog.format($router$
CREATE FUNCTION router.raise_taken(attribute text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = %L, MESSAGE = %L, DETAIL = json_build_object('entity', 'user', 'attribute', attribute);
END
$$;
$router$, e.sqlstate, e.message) FROM commerce.error_codes() e WHERE e.code = 'ALREADY_EXISTS'
UNION ALL
SELECT commerce_private.router_at_cell(p.oid) FROM pg_catalog.pg_proc p
WHERE p.pronamespace = 'commerce'::regnamespace AND p.proname IN ('create_user', 'sign_up', 'update_user', 'find_user')
UNION ALL
SELECT $router$
CREATE FUNCTION router.cell_of_new_user(email text, external_id text, idempotency_key text, staff boolean) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	wanted int;
	reserved int;
BEGIN
	IF staff THEN
		PERFORM router.keep_unique(0, email, external_id);
		RETURN 0;
	END IF;
	SELECT c.number INTO wanted FROM router.cells c WHERE c.takes_users ORDER BY random() LIMIT 1;
	IF wanted IS NULL THEN
		RAISE EXCEPTION 'no cell takes new users' USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'UPDATE router.cells SET takes_users = true WHERE number = 0';
	END IF;
	IF email IS NULL AND external_id IS NULL THEN
		IF idempotency_key IS NULL THEN
			RETURN wanted;
		END IF;
		-- the repetition has to come to the same cell
		external_id := 'create_user ' || encode(sha256(convert_to(idempotency_key, 'UTF8')), 'hex');
	END IF;
	reserved := commerce.reserve_user(email, external_id, wanted);
	IF reserved <> wanted THEN
		reserved := commerce.reserve_user(email, external_id, reserved);
	END IF;
	-- cell 0 would take whoever is in a cell that this router does not know
	IF NOT EXISTS (SELECT FROM router.cells c WHERE c.number = reserved) THEN
		RAISE EXCEPTION 'cell %, which has this user, is not in the list', reserved
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'router.cells has to have all cells.';
	END IF;
	RETURN reserved;
END
$$;
-- For who can be in this cell only. What is reserved for another one can be had when nobody there has it.
CREATE FUNCTION router.reserve(email text, external_id text, cell int) RETURNS int LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	reserved int := commerce.reserve_user(email, external_id, cell);
BEGIN
	IF reserved <> cell AND EXISTS (SELECT FROM router.cells c WHERE c.number = reserved)
		AND NOT EXISTS (SELECT FROM router.users_by(email, external_id)) THEN
		reserved := commerce.reserve_user(email, external_id, cell, unused_in => reserved);
	END IF;
	RETURN reserved;
END
$$;
CREATE FUNCTION router.keep_unique(user_id bigint, email text, external_id text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	cell int := commerce.cell_of(user_id);
BEGIN
	IF email IS NOT NULL AND router.reserve(email, NULL, cell) <> cell THEN
		PERFORM router.raise_taken('email');
	END IF;
	IF external_id IS NOT NULL AND router.reserve(NULL, external_id, cell) <> cell THEN
		PERFORM router.raise_taken('external_id');
	END IF;
END
$$;
CREATE FUNCTION router.users_by(of_email text, of_external_id text) RETURNS SETOF commerce.users LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT $router$ || commerce_private.router_columns('commerce.users') || $router$ FROM commerce.users l
	WHERE (lower(l.email) = lower(of_email) OR l.external_id = of_external_id) AND commerce.cell_of(l.id) = commerce.cell_number();
$$;
CREATE FUNCTION router.has_user(at_cell int, of_external_id text) RETURNS boolean LANGUAGE plproxy AS $$
	CONNECT router.conninfo(at_cell);
	SELECT EXISTS (SELECT FROM commerce.users l WHERE l.external_id = of_external_id);
$$;$router$
UNION ALL
SELECT commerce_private.router_head(p.oid, 'plpgsql', false) || pg_catalog.quote_literal(pg_catalog.format(b.body, b.arguments)) || ';'
FROM (SELECT p.oid, p.proname, (SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', p.proname, a.name), ', ' ORDER BY a.position)
								FROM pg_catalog.unnest(p.proargnames) WITH ORDINALITY AS a (name, position)) AS arguments
	  FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'commerce'::regnamespace) AS p
JOIN LATERAL (VALUES
	('create_user', p.arguments, $b$
BEGIN
	RETURN router.create_user(router.cell_of_new_user(create_user.email, create_user.external_id, create_user.idempotency_key, coalesce(create_user.role <> 'BUYER', false)), %s);
END
$b$),
	('sign_up', p.arguments, $b$
DECLARE
	known int;
BEGIN
	-- who has signed up already is not asked for an e-mail
	IF sign_up.external_id IS NOT NULL THEN
		known := commerce.reserve_user(NULL, sign_up.external_id, NULL);
	END IF;
	IF known IS NULL OR NOT router.has_user(known, sign_up.external_id) THEN
		known := router.cell_of_new_user(sign_up.email, sign_up.external_id, NULL, false);
	END IF;
	RETURN router.sign_up(known, %1$s);
END
$b$),
	('update_user', p.arguments, $b$
BEGIN
	PERFORM router.keep_unique(update_user.user_id, update_user.email, update_user.external_id)
	WHERE EXISTS (SELECT FROM router.cells c WHERE c.number = commerce.cell_of(update_user.user_id));
	RETURN router.update_user(commerce.cell_of(update_user.user_id), %s);
END
$b$),
	('find_user', p.arguments, $b$
DECLARE
	found commerce.users;
BEGIN
	IF num_nonnulls(%1$s) = 1 THEN
		-- several: check_cells() tells of it; who came first is not put out
		SELECT * INTO found FROM router.users_by(%1$s) u ORDER BY u.created_at, u.id LIMIT 1;
	END IF;
	IF found.id IS NULL THEN
		found := router.find_user(0, %1$s);
	END IF;
	RETURN found;
END
$b$)) AS b (name, arguments, body) ON b.name = p.proname
$outer$;
COMMENT ON FUNCTION commerce_private.router_users() IS 'the router''s functions that make and find users';

-- What is asked of all cells.
CREATE FUNCTION commerce_private.router_merges()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $outer$
SELECT $router$
CREATE FUNCTION router.available_stock(of_product bigint) RETURNS SETOF bigint LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT coalesce((SELECT a.available FROM commerce.allotments a WHERE a.kind = 'STOCK' AND a.resource_id = of_product),
					CASE commerce.cell_number() WHEN 0 THEN commerce.available_stock(of_product) ELSE 0 END);
$$;
CREATE FUNCTION router.check_invariants(OUT cell int, OUT invariant text, OUT violations bigint) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, i.invariant, i.violations FROM commerce.check_invariants() i;
$$;
CREATE FUNCTION router.metrics(of_part text, OUT name text, OUT labels jsonb, OUT value double precision) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT m.name, m.labels || jsonb_build_object('cell', commerce.cell_number()) AS labels, m.value FROM commerce.metrics(of_part) m;
$$;
CREATE FUNCTION router.popular_products(of_days int, of_top int, OUT cell int, OUT product_id bigint, OUT name text, OUT price bigint, OUT price_now bigint,
		OUT units_sold bigint, OUT as_of timestamptz) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, p.product_id, p.name, p.price, p.price_now, p.units_sold, p.as_of
	FROM commerce.popular_products(of_days, CASE WHEN of_top BETWEEN 1 AND 1000 THEN 1000 ELSE of_top END) p;
$$;
CREATE FUNCTION router.sales_report(of_seller bigint, since date, until date) RETURNS TABLE (day date, product_id bigint, fact text, units bigint, gross bigint,
		own_discounts bigint, shop_discounts bigint, shipping bigint, deductions bigint, refunds bigint, net bigint, tax_free bigint) LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL; SELECT r.day, r.product_id, r.fact, r.units, r.gross, r.own_discounts, r.shop_discounts, r.shipping, r.deductions, r.refunds, r.net, r.tax_free
	FROM commerce.sales_report(of_seller, since, until) r;
$$;
CREATE FUNCTION router.list_orders(seen bigint[], of_rows int, of_user bigint, of_seller bigint, of_status commerce.order_status)
RETURNS SETOF commerce.order_list LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT $router$ || commerce_private.router_columns('commerce.order_list') || $router$ FROM commerce.order_list l
	WHERE l.id < coalesce((SELECT min(s.id) FROM unnest(seen) AS s (id) WHERE commerce.cell_of(s.id) = commerce.cell_number()), 9223372036854775807)
	  AND (of_user IS NULL OR l.user_id = of_user) AND (of_status IS NULL OR l.status = of_status)
	  AND (of_seller IS NULL OR EXISTS (SELECT FROM commerce.order_items i WHERE i.order_id = l.id AND i.seller_id = of_seller))
	ORDER BY l.id DESC LIMIT of_rows;
$$;
CREATE FUNCTION router.list_users(seen bigint[], of_rows int, of_role commerce.user_role, of_status commerce.user_status)
RETURNS SETOF commerce.users LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT $router$ || commerce_private.router_columns('commerce.users') || $router$ FROM commerce.users l
	WHERE l.id < coalesce((SELECT min(s.id) FROM unnest(seen) AS s (id) WHERE commerce.cell_of(s.id) = commerce.cell_number()), 9223372036854775807)
	  AND l.id >= commerce.cell_number() * 1000000000000
	  AND (of_role IS NULL OR l.role = of_role) AND (of_status IS NULL OR l.status = of_status)
	ORDER BY l.id DESC LIMIT of_rows;
$$;
CREATE FUNCTION router.list_products(after_id bigint, of_rows int) RETURNS SETOF commerce.product_list LANGUAGE plproxy AS $$
	CONNECT router.conninfo(0);
	SELECT $router$ || commerce_private.router_columns('commerce.product_list') || $router$ FROM commerce.product_list l
	WHERE l.id > after_id ORDER BY l.id LIMIT of_rows;
$$;
CREATE FUNCTION router.list_coupons(after_id bigint, of_rows int) RETURNS SETOF commerce.coupon_list LANGUAGE plproxy AS $$
	CONNECT router.conninfo(0);
	SELECT $router$ || commerce_private.router_columns('commerce.coupon_list') || $router$ FROM commerce.coupon_list l
	WHERE l.id > after_id ORDER BY l.id LIMIT of_rows;
$$;
CREATE FUNCTION router.allotments(of_kind commerce.unit_kind, ids bigint[], OUT resource_id bigint, OUT available bigint) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT a.resource_id, a.available FROM commerce.allotments a WHERE a.kind = of_kind AND a.resource_id = ANY (ids);
$$;

CREATE FUNCTION commerce.available_stock(product_id bigint) RETURNS bigint LANGUAGE sql
AS 'SELECT sum(n)::bigint FROM router.available_stock(product_id) AS n';
CREATE FUNCTION commerce.check_invariants() RETURNS TABLE (invariant text, violations bigint) LANGUAGE sql
AS 'SELECT i.invariant, sum(i.violations)::bigint FROM router.check_invariants() i GROUP BY 1 ORDER BY 1';
CREATE FUNCTION commerce.metrics(part text DEFAULT NULL) RETURNS TABLE (name text, labels jsonb, value double precision) LANGUAGE sql
AS 'SELECT * FROM router.metrics(part)';
CREATE FUNCTION commerce.popular_products(days int DEFAULT 3, top int DEFAULT 5)
RETURNS TABLE (rank int, product_id bigint, name text, price bigint, price_now bigint, units_sold bigint, as_of timestamptz) LANGUAGE sql AS $$
	SELECT row_number() OVER (ORDER BY s.units DESC, s.product_id)::int, s.product_id, s.names[1], s.prices[1], s.prices_now[1], s.units, s.as_of
	FROM (SELECT p.product_id, array_agg(p.name ORDER BY p.cell) AS names, array_agg(p.price ORDER BY p.cell) AS prices,
				 array_agg(p.price_now ORDER BY p.cell) AS prices_now, sum(p.units_sold)::bigint AS units, min(p.as_of) AS as_of
		  FROM router.popular_products(popular_products.days, popular_products.top) p GROUP BY p.product_id) s
	ORDER BY 1 LIMIT top
$$;
CREATE FUNCTION commerce.sales_report(seller_id bigint, from_date date, to_date date) RETURNS TABLE (day date, product_id bigint, fact text, units bigint,
		gross bigint, own_discounts bigint, shop_discounts bigint, shipping bigint, deductions bigint, refunds bigint, net bigint, tax_free bigint) LANGUAGE sql AS $$
	SELECT r.day, r.product_id, r.fact, sum(r.units)::bigint, sum(r.gross)::bigint, sum(r.own_discounts)::bigint, sum(r.shop_discounts)::bigint,
		   sum(r.shipping)::bigint, sum(r.deductions)::bigint, sum(r.refunds)::bigint, sum(r.net)::bigint, sum(r.tax_free)::bigint
	FROM router.sales_report(sales_report.seller_id, from_date, to_date) r GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
$$;

CREATE FUNCTION router.check_rows(max_rows int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF max_rows BETWEEN 1 AND 1000 THEN
		RETURN max_rows;
	END IF;
	RAISE EXCEPTION 'invalid request' USING ERRCODE = 'invalid_parameter_value', DETAIL = '{"argument": "max_rows", "reason": "must be from 1 to 1000"}';
END
$$;
-- Of each cell a page has the next ids, however old what they name is: what was imported is older than its id.
CREATE FUNCTION router.order_page(seen bigint[] DEFAULT '{}', max_rows int DEFAULT 100, user_id bigint DEFAULT NULL, seller_id bigint DEFAULT NULL,
		status commerce.order_status DEFAULT NULL) RETURNS SETOF commerce.order_list LANGUAGE sql AS $$
	SELECT * FROM router.list_orders(seen, router.check_rows(max_rows), user_id, seller_id, status) o
	ORDER BY min(o.created_at) OVER (PARTITION BY commerce.cell_of(o.id) ORDER BY o.id DESC) DESC, o.id DESC LIMIT max_rows
$$;
COMMENT ON FUNCTION router.order_page(bigint[], int, bigint, bigint, commerce.order_status) IS
	'orders of all cells, the newest first, with their items: all, or those of a user, with a seller''s items, of a status. seen: ids of what the caller has seen, of which the lowest of each cell counts; the next page comes after them';
CREATE FUNCTION router.user_page(seen bigint[] DEFAULT '{}', max_rows int DEFAULT 100, role commerce.user_role DEFAULT NULL,
		status commerce.user_status DEFAULT NULL) RETURNS SETOF commerce.users LANGUAGE sql AS $$
	SELECT * FROM router.list_users(seen, router.check_rows(max_rows), role, status) u
	ORDER BY min(u.created_at) OVER (PARTITION BY commerce.cell_of(u.id) ORDER BY u.id DESC) DESC, u.id DESC LIMIT max_rows
$$;
COMMENT ON FUNCTION router.user_page(bigint[], int, commerce.user_role, commerce.user_status) IS 'users of all cells, the newest first; seen: as of order_page()';
CREATE FUNCTION router.product_page(after_id bigint DEFAULT 0, max_rows int DEFAULT 100) RETURNS SETOF commerce.product_list LANGUAGE plpgsql AS $$
DECLARE
	page commerce.product_list[] := ARRAY(SELECT p FROM router.list_products(after_id, router.check_rows(max_rows)) p);
BEGIN
	RETURN QUERY
		SELECT (jsonb_populate_record(p, jsonb_build_object('stock', s.units,
			'status', CASE WHEN p.status = 'ON_SALE' AND s.units = 0 OR p.status = 'SOLD_OUT' AND s.units > 0 THEN CASE s.units WHEN 0 THEN 'SOLD_OUT' ELSE 'ON_SALE' END ELSE p.status::text END))).*
		FROM unnest(page) AS p
		LEFT JOIN (SELECT a.resource_id, sum(a.available)::bigint AS units FROM router.allotments('STOCK', ARRAY(SELECT q.id FROM unnest(page) AS q)) a GROUP BY 1) s ON s.resource_id = p.id
		ORDER BY p.id;
END
$$;
COMMENT ON FUNCTION router.product_page(bigint, int) IS 'the catalogue by id, behind the id after_id, with the stock of all cells';
CREATE FUNCTION router.coupon_page(after_id bigint DEFAULT 0, max_rows int DEFAULT 100) RETURNS SETOF commerce.coupon_list LANGUAGE plpgsql AS $$
DECLARE
	page commerce.coupon_list[] := ARRAY(SELECT c FROM router.list_coupons(after_id, router.check_rows(max_rows)) c);
BEGIN
	RETURN QUERY
		SELECT (jsonb_populate_record(c, jsonb_build_object('remaining', s.units,
			'status', CASE WHEN c.status IN ('ACTIVE', 'EXHAUSTED') THEN CASE s.units WHEN 0 THEN 'EXHAUSTED' ELSE 'ACTIVE' END ELSE c.status::text END))).*
		FROM unnest(page) AS c
		LEFT JOIN (SELECT a.resource_id, sum(a.available)::bigint AS units FROM router.allotments('QUOTA', ARRAY(SELECT q.id FROM unnest(page) AS q)) a GROUP BY 1) s ON s.resource_id = c.id
		ORDER BY c.id;
END
$$;
COMMENT ON FUNCTION router.coupon_page(bigint, int) IS 'coupons by id, behind the id after_id, with how many are left in all cells';
$router$
$outer$;
COMMENT ON FUNCTION commerce_private.router_merges() IS 'the router''s functions that ask all cells, and lists of all cells by pages';

CREATE FUNCTION commerce_private.router_checks()
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $outer$
SELECT $router$
CREATE FUNCTION router.books(OUT cell int, OUT kind commerce.unit_kind, OUT resource_id bigint, OUT made bigint, OUT sent bigint, OUT received bigint, OUT open bigint)
RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, b.kind, b.resource_id, b.made, b.sent, b.received, b.open FROM commerce.cell_books() b;
$$;
CREATE FUNCTION router.quantities(OUT coupon_id bigint, OUT quantity bigint) RETURNS SETOF record LANGUAGE plproxy AS $$
	CONNECT router.conninfo(0);
	SELECT c.id AS coupon_id, c.quantity FROM commerce.coupons c;
$$;
CREATE FUNCTION router.emails(OUT cell int, OUT user_id bigint, OUT hash text) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, u.id AS user_id, h.kind || ':' || md5(h.value) AS hash
	FROM commerce.users u CROSS JOIN LATERAL (VALUES ('email', lower(u.email)), ('external_id', u.external_id)) AS h (kind, value)
	WHERE h.value IS NOT NULL AND commerce.cell_of(u.id) = commerce.cell_number();
$$;
CREATE FUNCTION router.settings(OUT cell int, OUT name text, OUT setting text) RETURNS SETOF record LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL;
	SELECT commerce.cell_number() AS cell, s.name, s.setting FROM pg_settings s
	WHERE s.name LIKE 'commerce.%' AND s.context IN ('superuser', 'user') AND s.name <> ALL ('{commerce.language,commerce.maintenance,commerce.outbox_retention}')
	UNION ALL SELECT commerce.cell_number(), 'version of commerce', e.extversion FROM pg_extension e WHERE e.extname = 'commerce';
$$;
CREATE FUNCTION router.numbers(OUT number int) RETURNS SETOF int LANGUAGE plproxy AS $$
	CLUSTER 'cells'; RUN ON ALL; SELECT commerce.cell_number() AS number;
$$;
CREATE FUNCTION commerce.check_cells() RETURNS TABLE (cell int, problem text, detail jsonb) LANGUAGE sql AS $$
	SELECT NULL::int, 'the list of cells is wrong', jsonb_build_object('listed', (SELECT jsonb_agg(c.number ORDER BY c.number) FROM router.cells c), 'there', jsonb_agg(n.number ORDER BY n.number))
	FROM router.numbers() n HAVING array_agg(n.number ORDER BY n.number) IS DISTINCT FROM (SELECT array_agg(c.number ORDER BY c.number) FROM router.cells c)
	UNION ALL
	SELECT i.cell, i.invariant, jsonb_build_object('violations', i.violations) FROM router.check_invariants() i
	UNION ALL
	SELECT NULL, 'units were sent and did not arrive, or the other way round',
		   jsonb_build_object('kind', b.kind, 'id', b.resource_id, 'sent', sum(b.sent), 'received', sum(b.received), 'open', sum(b.open))
	FROM router.books() b GROUP BY b.kind, b.resource_id HAVING sum(b.sent) - sum(b.received) NOT BETWEEN 0 AND sum(b.open)
	UNION ALL
	SELECT NULL, 'the allotments of a coupon do not add up to its quantity', jsonb_build_object('id', q.coupon_id, 'quantity', q.quantity, 'made', b.made)
	FROM (SELECT m.resource_id, sum(m.made) AS made FROM router.books() m WHERE m.kind = 'QUOTA' GROUP BY 1) b JOIN router.quantities() q ON q.coupon_id = b.resource_id
	WHERE b.made <> q.quantity
	UNION ALL
	SELECT NULL, split_part(e.hash, ':', 1) || ' is that of several users', jsonb_build_object('users', jsonb_agg(e.user_id ORDER BY e.user_id))
	FROM router.emails() e GROUP BY e.hash HAVING count(*) > 1
	UNION ALL
	SELECT NULL, s.name || ' differs', jsonb_object_agg(s.cell, s.setting) FROM router.settings() s GROUP BY s.name HAVING count(DISTINCT s.setting) > 1
$$;
COMMENT ON FUNCTION commerce.check_cells() IS
	'what is wrong: in a cell, as its check_invariants() says; over all: units that were sent and neither arrived nor are on the way, a coupon''s allotments, e-mails and external ids of two users, settings that differ, a wrong list of cells. Empty: the books of all cells are in order. Sums are of moments that differ by what is on the way';

CREATE FUNCTION commerce.grant_app(role regrole) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA commerce, router, plproxy TO %s', role);
	EXECUTE format('GRANT SELECT ON router.cells, router.version TO %s', role);
	EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA commerce, router, plproxy TO %s', role);
	EXECUTE format('REVOKE EXECUTE ON FUNCTION commerce.grant_app(regrole), commerce.revoke_app(regrole) FROM %s', role);
END
$$;
CREATE FUNCTION commerce.revoke_app(role regrole) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, router, plproxy FROM %s', role);
	EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA router FROM %s', role);
	EXECUTE format('REVOKE ALL ON SCHEMA commerce, router, plproxy FROM %s', role);
END
$$;
$router$
$outer$;
COMMENT ON FUNCTION commerce_private.router_checks() IS 'the router''s check_cells(), and who may use it';

CREATE FUNCTION commerce.router_sql(cells jsonb)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem text := CASE
		WHEN pg_catalog.jsonb_typeof(cells) IS DISTINCT FROM 'array' THEN 'must be an array of objects {"number": 0, "conninfo": "host=a dbname=shop"}'
		WHEN EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(cells) AS c
					 WHERE pg_catalog.jsonb_typeof(c -> 'number') IS DISTINCT FROM 'number' OR pg_catalog.jsonb_typeof(c -> 'conninfo') IS DISTINCT FROM 'string'
						OR c ->> 'number' !~ '^([0-8]\d{3}|\d{1,3})$')
			THEN 'must be an array of objects {"number": 0, "conninfo": "host=a dbname=shop"}, with numbers from 0 to 8999'
		WHEN (SELECT count(*) FILTER (WHERE c -> 'number' = '0') <> 1 OR count(DISTINCT c -> 'number') <> count(*) FROM pg_catalog.jsonb_array_elements(cells) AS c)
			THEN 'must have cell 0, and each cell once' END;
BEGIN
	IF problem IS NOT NULL THEN
		PERFORM commerce_private.raise_invalid('cells', problem);
	END IF;
	RETURN pg_catalog.concat_ws(E'\n',
		'BEGIN; CREATE EXTENSION IF NOT EXISTS plproxy; CREATE SCHEMA plproxy; CREATE SCHEMA router; CREATE SCHEMA commerce;',
		(SELECT pg_catalog.string_agg(t, E'\n') FROM commerce_private.router_types() AS t),
		(SELECT pg_catalog.string_agg(c, E'\n') FROM commerce_private.router_cells(cells) AS c),
		commerce_private.router_functions('{row,catalogue,sum}'),
		(SELECT pg_catalog.string_agg(u, E'\n') FROM commerce_private.router_users() AS u),
		commerce_private.router_merges(), commerce_private.router_checks(),
		commerce_private.router_functions('{own}'),
		'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA commerce, router, plproxy FROM PUBLIC;',
		-- PL/Proxy tells of every connection that it gives up, which is one for each refusal
		'DO $do$ BEGIN EXECUTE format(''ALTER DATABASE %I SET client_min_messages = warning'', current_database()); END $do$; COMMIT;');
END
$$;
COMMENT ON FUNCTION commerce.router_sql(jsonb) IS
	'what makes an empty database the router of these cells, [{"number": 0, "conninfo": "host=a dbname=shop"}]: functions of the contract''s names and arguments, made from the catalog of this database, that call those of the cell which has the row, by the language plproxy. Run it there as a superuser; after an update of the cells, in a new database. Errors: INVALID_REQUEST';
