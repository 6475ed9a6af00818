-- Only tables that have rows: what is vacuumed empty counts as empty for the planner, and PL/pgSQL and
-- foreign-key checks would keep sequential scans of tables that grow.
SELECT format('VACUUM ANALYZE %s', c.oid::regclass) FROM pg_class c
WHERE c.relnamespace = ANY (ARRAY(SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('commerce', 'commerce_private', 'plain'))) AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0 \gexec
