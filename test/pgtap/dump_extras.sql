-- What a dump leaves out is told, and printed so that it can be made again.
-- role: postgres

SELECT no_plan();
SELECT is_empty('SELECT * FROM commerce.dump_warnings', 'a shop that nobody has added anything to loses nothing');
SELECT is_empty('SELECT commerce.dump_extras(b) FROM (VALUES (true), (false)) v (b)', 'nor is there anything to print');
ALTER TABLE commerce.orders ADD gift text DEFAULT 'none' NOT NULL;
CREATE INDEX gifts ON commerce.orders (gift);
ALTER TABLE commerce.users ADD CONSTRAINT short_name CHECK (length(name) < 100);
CREATE TRIGGER upper BEFORE INSERT ON commerce.users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
ALTER TABLE commerce.users ENABLE ALWAYS TRIGGER upper;
CREATE POLICY mine ON commerce.shipments FOR SELECT TO PUBLIC USING (id > 0);
ALTER TABLE commerce.orders SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE PUBLICATION lake FOR TABLE commerce.orders (id, status) WHERE (id > 5);
CREATE PUBLICATION nothing;
CREATE PUBLICATION everything FOR ALL TABLES;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET commerce.payment_ttl = %L', current_database(), '20min'); END $$;
SELECT results_eq('SELECT kind, object FROM commerce.dump_warnings ORDER BY 1, 2', $$VALUES
	('COLUMN', 'column commerce.orders gift'),
	('EMPTY_PUBLICATION', 'publication nothing'),
	('OTHER', 'constraint commerce.users short_name'),
	('OTHER', 'index commerce.orders gifts'),
	('OTHER', 'option commerce.orders autovacuum_vacuum_scale_factor=0.01'),
	('OTHER', 'option commerce.orders fillfactor=70'),
	('OTHER', 'policy commerce.shipments mine'),
	('OTHER', 'trigger commerce.users upper'),
	('OTHER', 'trigger state commerce.users upper A'),
	('PUBLICATION', 'publication commerce.orders lake'),
	('SETTING', 'setting commerce.payment_ttl')$$, 'what somebody has added is named');
SELECT results_eq('SELECT commerce.dump_extras(true)', ARRAY['ALTER TABLE commerce.orders ADD COLUMN gift text DEFAULT ''none''::text NOT NULL;'], 'columns come before the rows');
SELECT results_eq($$SELECT regexp_replace(e, '^DO ''BEGIN .* THEN (.*) END IF; END'';$', '\1') FROM commerce.dump_extras(false) e$$, ARRAY[
	'ALTER TABLE commerce.orders SET (autovacuum_vacuum_scale_factor = ''0.01'');',
	'ALTER TABLE commerce.orders SET (fillfactor = ''70'');',
	'CREATE INDEX gifts ON commerce.orders USING btree (gift);',
	'ALTER TABLE commerce.users ADD CONSTRAINT short_name CHECK ((length(name) < 100));',
	'CREATE TRIGGER upper BEFORE INSERT ON commerce.users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();',
	'ALTER TABLE commerce.users ENABLE ALWAYS TRIGGER upper;',
	'CREATE POLICY mine ON commerce.shipments AS PERMISSIVE FOR SELECT TO PUBLIC USING ((id > 0));',
	'ALTER PUBLICATION lake ADD TABLE commerce.orders (id, status) WHERE ((id > 5));',
	'ALTER DATABASE :"DBNAME" SET commerce.payment_ttl = ''20min'';'], 'and the rest after');
SELECT set_eq('SELECT code, subject FROM commerce_private.status_problems(''[]'', NULL, ''[]'', ''[]'') WHERE code IN (''FOREIGN_COLUMNS'', ''EMPTY_PUBLICATIONS'')',
	$$VALUES ('FOREIGN_COLUMNS', 'commerce.orders.gift'), ('EMPTY_PUBLICATIONS', 'nothing')$$, 'the operator is told what is worst');
-- pg_dump of 18 has members of publications, that of 17 has none
DO $$ BEGIN EXECUTE (SELECT e FROM commerce.dump_extras(false) e WHERE e ~ 'ALTER PUBLICATION'); END $$;
SELECT is(pg_get_expr(prqual, prrelid), '(id > 5)', 'who is a member of a publication already stays one') FROM pg_publication_rel WHERE prrelid = 'commerce.orders'::regclass;
DROP PUBLICATION everything, nothing, lake;
SELECT * FROM finish();
