-- Dumps: what pg_dump leaves out of an extension's tables. It has their rows, and takes all else of them to come from
-- CREATE EXTENSION: a column, an index, a policy that somebody has added is not in the dump. What is the extension's own
-- is recorded here, at the end of the script.

CREATE TABLE commerce_private.own_parts (
	relation regclass NOT NULL,
	kind     text NOT NULL,
	name     text NOT NULL,
	PRIMARY KEY (relation, kind, name)
);
COMMENT ON TABLE commerce_private.own_parts IS 'what the extension''s tables are made of. Part of the extension, as its code is: not in a dump';

CREATE VIEW commerce_private.parts AS
	WITH member AS (
		SELECT c.oid AS relation, c.reloptions, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.relkind
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
		JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid AND e.extname = 'commerce'
		WHERE c.relkind IN ('r', 'p')
	)
	SELECT m.relation::regclass AS relation, 'column' AS kind, a.attname::text COLLATE "default" AS name,
		   pg_catalog.format('ALTER TABLE %s ADD COLUMN %I %s%s%s%s', m.relation::regclass, a.attname,
			   pg_catalog.format_type(a.atttypid, a.atttypmod),
			   CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END,
			   CASE WHEN a.attgenerated <> '' THEN ' GENERATED ALWAYS AS (' || pg_catalog.pg_get_expr(f.adbin, f.adrelid) || ') STORED'
					WHEN a.attidentity <> '' THEN ' GENERATED ' || CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END || ' AS IDENTITY'
					WHEN f.adbin IS NOT NULL THEN ' DEFAULT ' || pg_catalog.pg_get_expr(f.adbin, f.adrelid) ELSE '' END,
			   CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END) AS statement
	FROM member m JOIN pg_catalog.pg_attribute a ON a.attrelid = m.relation AND a.attnum > 0 AND NOT a.attisdropped
	JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
	UNION ALL
	SELECT m.relation::regclass, 'index', c.relname::text COLLATE "default", pg_catalog.pg_get_indexdef(i.indexrelid)
	FROM member m JOIN pg_catalog.pg_index i ON i.indrelid = m.relation JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conindid = i.indexrelid AND o.contype IN ('p', 'u', 'x'))
	UNION ALL
	SELECT m.relation::regclass, 'constraint', o.conname::text COLLATE "default",
		   pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', m.relation::regclass, o.conname, pg_catalog.pg_get_constraintdef(o.oid))
	FROM member m JOIN pg_catalog.pg_constraint o ON o.conrelid = m.relation AND o.contype <> 'n'
	UNION ALL
	SELECT m.relation::regclass, 'trigger', g.tgname::text COLLATE "default", pg_catalog.pg_get_triggerdef(g.oid)
	FROM member m JOIN pg_catalog.pg_trigger g ON g.tgrelid = m.relation AND NOT g.tgisinternal
	UNION ALL
	SELECT m.relation::regclass, 'trigger state', (g.tgname::text || ' ' || g.tgenabled::text) COLLATE "default",
		   pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', m.relation::regclass,
			   CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END, g.tgname)
	FROM member m JOIN pg_catalog.pg_trigger g ON g.tgrelid = m.relation AND NOT g.tgisinternal
	UNION ALL
	SELECT m.relation::regclass, 'policy', p.polname::text COLLATE "default",
		   pg_catalog.format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, m.relation::regclass,
			   CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
			   CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
			   (SELECT pg_catalog.string_agg(CASE r.role WHEN 0 THEN 'PUBLIC' ELSE r.role::regrole::text END, ', ') FROM pg_catalog.unnest(p.polroles) AS r (role)),
			   ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
			   ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
	FROM member m JOIN pg_catalog.pg_policy p ON p.polrelid = m.relation
	-- those of grant_api(), which makes them anew
	WHERE p.polname !~ '^commerce_api_\d+$'
	UNION ALL
	SELECT m.relation::regclass, 'row security', CASE WHEN m.relforcerowsecurity THEN 'FORCED' WHEN m.relrowsecurity THEN 'ENABLED' ELSE 'DISABLED' END,
		   pg_catalog.format('ALTER TABLE %s %s ROW LEVEL SECURITY%s', m.relation::regclass, CASE WHEN m.relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END,
			   CASE WHEN m.relforcerowsecurity THEN ', FORCE ROW LEVEL SECURITY' END)
	FROM member m
	UNION ALL
	SELECT m.relation::regclass, 'option', o.option_name || '=' || o.option_value,
		   pg_catalog.format('ALTER TABLE %s SET (%s = %L)', m.relation::regclass, o.option_name, o.option_value)
	FROM member m CROSS JOIN LATERAL pg_catalog.pg_options_to_table(m.reloptions) o
	UNION ALL
	SELECT m.relation::regclass, 'replica identity', m.relreplident::text,
		   pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s', m.relation::regclass,
			   CASE m.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
				   WHEN 'i' THEN 'USING INDEX ' || (SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
													WHERE i.indrelid = m.relation AND i.indisreplident)
				   ELSE 'DEFAULT' END)
	FROM member m WHERE m.relkind = 'r'
	UNION ALL
	-- from 18 on a dump has it already
	SELECT m.relation::regclass, 'publication', p.pubname::text COLLATE "default",
		   pg_catalog.format('DO %L', pg_catalog.format('BEGIN IF NOT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = %L AND r.prrelid = %L::regclass) THEN ALTER PUBLICATION %I ADD TABLE %s%s%s; END IF; END',
			   p.pubname, m.relation::regclass, p.pubname, m.relation::regclass,
			   ' (' || (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
						WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])) || ')',
			   ' WHERE (' || pg_catalog.pg_get_expr(r.prqual, r.prrelid) || ')'))
	FROM member m JOIN pg_catalog.pg_publication_rel r ON r.prrelid = m.relation JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid;
COMMENT ON VIEW commerce_private.parts IS 'what the extension''s tables consist of, and how each is made';

CREATE FUNCTION commerce_private.list_dump_extras()
RETURNS TABLE (kind text, object text, before_data boolean, statement text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.kind, p.relation || ' ' || p.name, p.kind = 'column', p.statement
	FROM commerce_private.parts p
	WHERE NOT EXISTS (SELECT FROM commerce_private.own_parts o WHERE (o.relation, o.kind, o.name) = (p.relation, p.kind, p.name))
	  AND NOT (p.kind = 'trigger state' AND p.name ~ ' O$')
	UNION ALL
	SELECT 'setting', coalesce(r.setrole::regrole::text || ' ', '') || c.name, false,
		   pg_catalog.format('ALTER %s SET %s = %L', CASE WHEN r.setrole IS NULL THEN 'DATABASE :"DBNAME"'
				ELSE 'ROLE ' || r.setrole::regrole || ' IN DATABASE :"DBNAME"' END, c.name, c.value)
	FROM (SELECT nullif(s.setrole, 0) AS setrole, s.setconfig FROM pg_catalog.pg_db_role_setting s
		  JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase WHERE d.datname = pg_catalog.current_database()) r
	CROSS JOIN LATERAL (SELECT pg_catalog.split_part(e, '=', 1) AS name, pg_catalog.substr(e, pg_catalog.strpos(e, '=') + 1) AS value
						FROM pg_catalog.unnest(r.setconfig) AS e) c
	UNION ALL
	SELECT 'REST', 'grant_api()', false,
		   pg_catalog.format('SELECT commerce.grant_api(%L, %L, %L, %L)', a.roles->>'ANONYMOUS', a.roles->>'BUYER', a.roles->>'SELLER', a.roles->>'ADMIN')
	FROM (SELECT pg_catalog.jsonb_object_agg(r.api_role, r.role) AS roles FROM commerce_private.api_roles r) a
	WHERE a.roles ?& '{ANONYMOUS,BUYER,SELLER,ADMIN}'
$$;
COMMENT ON FUNCTION commerce_private.list_dump_extras() IS 'what a dump leaves out, and how it is made again';

CREATE FUNCTION commerce.dump_extras(before_data boolean)
RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF dump_extras.before_data IS NULL THEN
		PERFORM commerce_private.raise_invalid('before_data', 'must not be null');
	END IF;
	RETURN QUERY
	SELECT e.statement || ';' FROM commerce_private.list_dump_extras() e
	WHERE e.before_data = dump_extras.before_data
	-- a foreign key needs its key, a trigger state its trigger, grant_api() everything
	ORDER BY pg_catalog.array_position('{column,option,replica identity,index,constraint,trigger,trigger state,policy,row security,publication,setting,REST}'::text[], e.kind),
			 e.kind = 'constraint' AND e.statement ~ ' FOREIGN KEY ', e.object;
END
$$;
COMMENT ON FUNCTION commerce.dump_extras(boolean) IS
	'statements for psql that make again what pg_dump leaves out of commerce''s tables and of the database: before_data true: columns, which a restored dump needs before its rows; false: indexes, constraints, triggers, policies, storage parameters, members of publications, settings of the database, and grant_api(). docs/dumps.md says when. Errors: INVALID_REQUEST';

CREATE VIEW commerce_private.empty_publications AS
	SELECT p.pubname::text COLLATE "default" AS name FROM pg_catalog.pg_publication p
	WHERE NOT p.puballtables AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid)
	  AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_namespace n WHERE n.pnpubid = p.oid);
COMMENT ON VIEW commerce_private.empty_publications IS 'publications that publish nothing';

CREATE VIEW commerce_private.foreign_columns AS
	SELECT p.relation, p.name FROM commerce_private.parts p
	WHERE p.kind = 'column'
	  AND NOT EXISTS (SELECT FROM commerce_private.own_parts o WHERE o.relation = p.relation AND o.kind = 'column' AND o.name = p.name);
COMMENT ON VIEW commerce_private.foreign_columns IS 'columns of the extension''s tables that somebody has added';

CREATE VIEW commerce.dump_warnings AS
	SELECT CASE e.kind WHEN 'column' THEN 'COLUMN' WHEN 'publication' THEN 'PUBLICATION' WHEN 'setting' THEN 'SETTING' ELSE 'OTHER' END AS kind,
		   e.kind || ' ' || e.object AS object,
		   CASE e.kind WHEN 'column' THEN 'a dump cannot be restored without it: see dump_extras()'
					   ELSE 'a dump leaves it out: see dump_extras()' END AS detail
	FROM commerce_private.list_dump_extras() e WHERE e.kind <> 'REST'
	UNION ALL
	SELECT 'EMPTY_PUBLICATION', 'publication ' || p.name, 'it has no tables: a dump was restored, or its tables were dropped'
	FROM commerce_private.empty_publications p;
COMMENT ON VIEW commerce.dump_warnings IS
	'what pg_dump leaves out of commerce''s tables and of the database, and publications that have come back empty';
COMMENT ON COLUMN commerce.dump_warnings.kind IS
	'COLUMN: somebody''s own, without which rows do not come back; PUBLICATION; SETTING: of the database; OTHER: an index, a constraint, a trigger, a policy, a storage parameter; EMPTY_PUBLICATION';

INSERT INTO commerce_private.own_parts (relation, kind, name)
SELECT p.relation, p.kind, p.name FROM commerce_private.parts p WHERE p.kind <> 'publication';
