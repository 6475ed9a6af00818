-- A publication of all tables, as tools for change data capture make it, stops nothing: every table whose rows are
-- changed or deleted has an identity.
-- role: postgres

SELECT no_plan();
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('commerce'::regnamespace, 'commerce_private'::regnamespace) AND c.relkind IN ('r', 'p')
	AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AND c.relreplident <> 'f'
	AND c.relname NOT IN ('gate', 'api_document') AND c.relname NOT LIKE 'outbox%'$$,
	'tables have primary keys, or their whole rows are the identity, but for those that are never changed');
SET client_min_messages = error;
CREATE PUBLICATION everything FOR ALL TABLES;
RESET client_min_messages;
SELECT commerce.create_user('Kim', 'kim@example.com') AS kim \gset
SELECT commerce.charge_balance(:kim, 100000) \g /dev/null
SELECT commerce.create_product(NULL, 'cup', 1000, 10) AS cup \gset
SELECT lives_ok(format($$SELECT commerce.place_order(%s, '[{"product_id": %s, "quantity": 1}]')$$, :kim, :cup), 'an order');
SELECT lives_ok('SELECT commerce.refresh_popular_products()', 'best sellers');
SELECT lives_ok('SELECT commerce.refresh_popular_products()', 'and again');
SELECT lives_ok('SELECT commerce.fold()', 'folding');
SELECT lives_ok('SELECT commerce_private.run_job(name) FROM commerce_private.jobs', 'jobs');
SELECT is_empty('SELECT name, last_error FROM commerce_private.job_runs WHERE failures > 0', 'none of which fails');
UPDATE commerce_private.origin SET system_identifier = system_identifier - 1;
SELECT ok(commerce.prepare_after_restore(), 'what is done after a restore');
SELECT lives_ok(format($$SELECT commerce.place_order(%s, '[{"product_id": %s, "quantity": 1}]')$$, :kim, :cup), 'an order then');
INSERT INTO commerce_private.outbox_purged (era, key, position) VALUES (0, '0', 0);
SELECT lives_ok('UPDATE commerce_private.outbox_purged SET position = 1', 'what purge_outbox() notes');
DROP PUBLICATION everything;

SELECT is_empty('SELECT * FROM commerce.check_invariants()', 'the books are in order');
SELECT * FROM finish();
