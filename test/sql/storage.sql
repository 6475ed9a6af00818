-- The library reads and writes rows without the executor. Where a table's rows are somewhere else, they would be lost:
-- the call is refused by a sentence that names the table, and check_invariants() says so.

SELECT commerce.create_user('Storage', 'storage@example.com') AS buyer, commerce.create_user('Another') AS another \gset
\set call 'SELECT balance FROM commerce.charge_balance(:buyer, 10000);'
CREATE VIEW pg_temp.broken AS SELECT * FROM commerce.check_invariants() WHERE invariant LIKE '%rows are where%';
:call
TABLE pg_temp.broken;

\echo == another access method
BEGIN;
CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE commerce.balance_entries SET ACCESS METHOD other;
TABLE pg_temp.broken;
:call
ROLLBACK;

\echo == in place of ours
BEGIN;
ALTER TABLE commerce.balance_entries RENAME TO before;
CREATE TABLE commerce.balance_entries (LIKE commerce.before) PARTITION BY RANGE (user_id);
CREATE TABLE public.part PARTITION OF commerce.balance_entries DEFAULT;
:call
ROLLBACK;

BEGIN;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
ALTER TABLE commerce.balance_entries RENAME TO before;
CREATE FOREIGN TABLE commerce.balance_entries (user_id bigint) SERVER nowhere;
:call
ROLLBACK;

BEGIN;
ALTER TABLE commerce.users RENAME TO before;
CREATE VIEW commerce.users AS TABLE commerce.before;
:call
ROLLBACK;

\echo == distributed by Citus, whose list of tables this is
BEGIN;
SET LOCAL allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass);
INSERT INTO pg_catalog.pg_dist_partition VALUES ('commerce.balance_entries');
-- Citus lets every session see that the definition has changed
ALTER TABLE commerce.balance_entries SET (fillfactor = 90);
TABLE pg_temp.broken;
:call
ROLLBACK;

\echo == under another name
BEGIN;
ALTER INDEX commerce.users_pkey RENAME TO another;
-- of somebody whose row this session has not seen before
SELECT balance FROM commerce.charge_balance(:another, 10000);
ROLLBACK;
BEGIN;
ALTER SCHEMA commerce_private RENAME TO another;
:call
ROLLBACK;

:call
TABLE pg_temp.broken;
