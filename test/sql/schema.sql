-- What src/base/schema.h says of the database is what the catalog says, and the other way round.

\set schema `cat "$PG_ABS_SRCDIR/../src/base/schema.h"`

-- read: relations
CREATE TEMPORARY TABLE named_relations AS
SELECT m[1] AS constant, CASE m[2] WHEN 'COMMERCE' THEN 'commerce' WHEN 'PRIVATE' THEN 'commerce_private' END AS schema, m[3] AS name
FROM regexp_matches(:'schema', 'RELATION\((\w+), (\w+), "(\w+)"\)', 'g') m;

-- columns: enum TABLE_columns { TABLE_COLUMN = 1, ..., TABLE_COLUMNS = TABLE_COLUMN }
CREATE TEMPORARY TABLE named_columns AS
SELECT m[1] AS "table", c.n AS number, btrim(regexp_replace(c.text, '\s+', ' ', 'g')) AS constant
FROM regexp_matches(:'schema', 'enum (\w+)_columns\n\{\n([^}]*)\}', 'g') m,
	regexp_split_to_table(m[2], ',') WITH ORDINALITY c (text, n);

-- labels, and types
CREATE TEMPORARY TABLE named_labels AS
SELECT lower(m[1]) AS type, row_number() OVER (PARTITION BY m[1] ORDER BY n) AS number, m[2] AS label
FROM regexp_matches(:'schema', 'LABEL\((\w+), (\w+)\)', 'g') WITH ORDINALITY AS r (m, n);
CREATE TEMPORARY TABLE named_types AS
SELECT lower(m[1]) AS constant, CASE m[2] WHEN 'COMMERCE' THEN 'commerce' WHEN 'PRIVATE' THEN 'commerce_private' END AS schema, m[3] AS name
FROM regexp_matches(:'schema', 'TYPE\((\w+), (\w+), "(\w+)"\)', 'g') m;

SELECT (SELECT count(*) > 40 FROM named_relations) AS relations,
	(SELECT count(*) > 150 FROM named_columns) AS columns,
	(SELECT count(*) > 70 FROM named_labels) AS labels,
	(SELECT count(*) > 15 FROM named_types) AS types;

-- each relation is there, under a constant that says what it is
SELECT r.constant, r.schema, r.name
FROM named_relations r LEFT JOIN pg_class c ON c.oid = to_regclass(r.schema || '.' || r.name)
WHERE c.oid IS NULL
   OR r.constant IS DISTINCT FROM upper(CASE WHEN c.relkind IN ('r', 'p') THEN 'table_' || c.relname
	WHEN c.relkind = 'i' THEN 'index_' || c.relname
	WHEN c.relkind = 'S' THEN 'sequence_' || regexp_replace(c.relname, '_seq$', '') END);

-- the last constant of a table's columns is how many there are; it is set beside, not counted
SELECT "table", constant FROM (
	SELECT n.*, max(n.number) OVER (PARTITION BY n."table") AS last,
		lag(n.constant) OVER (PARTITION BY n."table" ORDER BY n.number) AS before FROM named_columns n) n
WHERE number = last AND constant <> format('%1$s_COLUMNS = %2$s', upper("table"), regexp_replace(before, ' = 1$', ''))
   OR number = 1 AND constant !~ ' = 1$'
   OR number NOT IN (1, last) AND constant ~ '=';

-- columns that only the file has, or only the catalog
SELECT coalesce(n."table", c."table") AS "table", n.number AS "in file", n.name, c.number AS "in catalog", c.name
FROM (SELECT "table", number, lower(regexp_replace(substr(constant, length("table") + 2), ' = 1$', '')) AS name
	FROM named_columns WHERE constant !~ '_COLUMNS = ') n
FULL JOIN (SELECT c.relname::text AS "table", a.attnum::bigint AS number, a.attname::text AS name
	FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('commerce', 'commerce_private'))
	AND c.relname IN (SELECT "table" FROM named_columns) AND a.attnum > 0 AND NOT a.attisdropped) c
ON c."table" = n."table" AND c.number = n.number
WHERE n.name IS DISTINCT FROM c.name;

-- types and labels that only the file has, or only the catalog
SELECT coalesce(n.name, t.typname) AS type, n.schema AS "in file", s.nspname AS "in catalog"
FROM pg_type t JOIN pg_namespace s ON s.oid = t.typnamespace AND s.nspname LIKE 'commerce%' AND t.typtype = 'e'
FULL JOIN named_types n ON n.name = t.typname AND n.schema = s.nspname AND n.constant = n.name
WHERE n.name IS NULL OR t.oid IS NULL;

SELECT coalesce(n.type, e.type) AS type, n.number AS "in file", n.label, e.number AS "in catalog", e.label
FROM named_labels n
FULL JOIN (SELECT t.typname::text AS type, row_number() OVER (PARTITION BY t.oid ORDER BY e.enumsortorder) AS number,
		e.enumlabel::text AS label
	FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
	JOIN pg_namespace s ON s.oid = t.typnamespace AND s.nspname LIKE 'commerce%') e
ON e.type = n.type AND e.number = n.number
WHERE n.label IS DISTINCT FROM e.label;
