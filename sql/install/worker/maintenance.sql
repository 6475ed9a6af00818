-- The maintenance worker: in which databases it works (src/worker/).

CREATE FUNCTION commerce_private.maintenance_slots(OUT database oid, OUT state text, OUT last_fold timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_maintenance_slots';
COMMENT ON FUNCTION commerce_private.maintenance_slots() IS 'the databases of this server that the maintenance worker knows; see the view maintenance';

CREATE VIEW commerce.maintenance AS
	SELECT d.datname AS database, s.state, s.last_fold AS last_fold_at
	FROM commerce_private.maintenance_slots() s JOIN pg_catalog.pg_database d ON d.oid = s.database;
COMMENT ON VIEW commerce.maintenance IS
	'the databases of this server in which something of commerce has happened, and whether the maintenance worker works there; empty when the library is not preloaded';
COMMENT ON COLUMN commerce.maintenance.state IS
	'WORKING; IDLE: until something happens; OFF: by commerce.maintenance; READ_ONLY: by default_transaction_read_only; SUBSCRIBER: its orders or journals come by logical replication; OTHER_VERSION: the extension there is not of a version that the library serves; NO_SLOT: more databases than commerce.maintenance_databases';
COMMENT ON COLUMN commerce.maintenance.last_fold_at IS
	'when the worker last folded what there was to fold; NULL: not since the server''s start';
