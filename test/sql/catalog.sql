-- The surface to the letter: functions, relations, columns, constraints, triggers, policies, what a dump
-- takes along, and who may use it. It changes only on purpose: a difference here is read like a change of
-- the contract. The owner's own rights are left out, since versions differ in them.
CREATE FUNCTION pg_temp.grants(acl aclitem[], owner oid) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(g.grantee || ':' || g.privileges, ' ' ORDER BY g.grantee), '')
	FROM (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
				 string_agg(a.privilege_type, ',' ORDER BY a.privilege_type) AS privileges
		  FROM aclexplode(acl) a WHERE a.grantee <> owner GROUP BY 1) g
$$;
CREATE VIEW pg_temp.ours AS
SELECT n.oid, n.nspname FROM pg_namespace n WHERE n.nspname IN ('commerce', 'commerce_private', 'commerce_archive', 'commerce_api');
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '

\echo == schemas
SELECT o.nspname, pg_temp.grants(n.nspacl, n.nspowner) FROM pg_temp.ours o JOIN pg_namespace n USING (oid) ORDER BY 1;

\echo == functions: signature, result, language, volatility, definer, settings, grants
SELECT o.nspname || '.' || p.proname || '(' || pg_get_function_arguments(p.oid) || ')', pg_get_function_result(p.oid), l.lanname,
	p.provolatile::text || CASE WHEN p.proisstrict THEN ' strict' ELSE '' END || ' parallel ' || p.proparallel::text,
	CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END, array_to_string(p.proconfig, ', '),
	pg_temp.grants(coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner)
FROM pg_proc p JOIN pg_temp.ours o ON o.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
ORDER BY o.nspname, p.proname COLLATE "C", p.oid;

\echo == types
SELECT o.nspname || '.' || t.typname, t.typtype, format_type(nullif(t.typbasetype, 0), t.typtypmod),
	(SELECT string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
	(SELECT string_agg(pg_get_constraintdef(c.oid), ' ' ORDER BY c.conname COLLATE "C") FROM pg_constraint c WHERE c.contypid = t.oid AND c.contype = 'c'),
	pg_temp.grants(coalesce(t.typacl, acldefault('T', t.typowner)), t.typowner)
FROM pg_type t JOIN pg_temp.ours o ON o.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd') OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')
ORDER BY o.nspname, t.typname COLLATE "C";

\echo == relations: kind, options, row security, in a dump, owned by, grants
SELECT o.nspname || '.' || c.relname, c.relkind, array_to_string(c.reloptions, ','),
	CASE WHEN c.relrowsecurity THEN 'row security' END,
	(SELECT 'dumped' || coalesce(' where ' || nullif(x.condition, ''), '')
	 FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS x (relid, condition) WHERE e.extname = 'commerce' AND x.relid = c.oid),
	(SELECT d.refobjid::regclass || '.' || a.attname FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
	 WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i')),
	pg_temp.grants(coalesce(c.relacl, acldefault('r', c.relowner)), c.relowner)
FROM pg_class c JOIN pg_temp.ours o ON o.oid = c.relnamespace WHERE c.relkind NOT IN ('i', 'I', 'c')
ORDER BY o.nspname, c.relname COLLATE "C";

\echo == columns
SELECT o.nspname || '.' || c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
	CASE WHEN a.attnotnull THEN 'not null' END, CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity' END,
	pg_get_expr(d.adbin, d.adrelid), pg_temp.grants(a.attacl, c.relowner)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_temp.ours o ON o.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'c')
ORDER BY o.nspname, c.relname COLLATE "C", a.attnum;

\echo == constraints
SELECT (o.nspname || '.' || r.relname) COLLATE "C", c.conname, pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_temp.ours o ON o.oid = r.relnamespace
WHERE c.contype <> 'n' ORDER BY 1, 2;

\echo == indexes
SELECT pg_get_indexdef(i.indexrelid) COLLATE "C" FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid JOIN pg_temp.ours o ON o.oid = r.relnamespace
ORDER BY 1;

\echo == triggers
SELECT t.tgenabled, pg_get_triggerdef(t.oid) COLLATE "C" FROM pg_trigger t JOIN pg_class r ON r.oid = t.tgrelid JOIN pg_temp.ours o ON o.oid = r.relnamespace
WHERE NOT t.tgisinternal ORDER BY 2;

\echo == policies
SELECT (o.nspname || '.' || r.relname) COLLATE "C", p.polname, p.polcmd, p.polpermissive, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy p JOIN pg_class r ON r.oid = p.polrelid JOIN pg_temp.ours o ON o.oid = r.relnamespace
ORDER BY 1, 2;
