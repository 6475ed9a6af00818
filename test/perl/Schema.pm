# What an extension is made of, as the catalog has it; and how two databases differ in that.

package Schema;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(schema schema_differences);

# (object, aspect, value) of the extension, of its members, and of all that depends on these. Columns are in it by
# their place among those that are there: who drops one leaves a hole. Internal triggers and toast tables have numbers
# for names, and are made with what is in it.
my $query = q{
WITH RECURSIVE reached (classid, objid, objsubid) AS (
	SELECT 'pg_extension'::regclass::oid, oid, 0 FROM pg_extension WHERE extname = 'commerce'
	UNION
	SELECT d.classid, d.objid, d.objsubid
	FROM reached r JOIN pg_depend d ON d.refclassid = r.classid AND d.refobjid = r.objid
),
objects AS (
	SELECT r.classid::regclass::text AS class, r.* FROM reached r
	WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE r.classid = 'pg_trigger'::regclass AND t.oid = r.objid AND t.tgisinternal)
	  AND NOT EXISTS (SELECT FROM pg_class c WHERE r.classid = 'pg_class'::regclass AND c.oid = r.objid AND c.relnamespace = 'pg_toast'::regnamespace)
	UNION
	SELECT 'pg_class', r.classid, r.objid, a.attnum FROM reached r JOIN pg_attribute a ON a.attrelid = r.objid JOIN pg_class c ON c.oid = r.objid
	WHERE r.classid = 'pg_class'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
)
SELECT i.type || ' ' || i.identity, a.aspect, a.value
FROM objects o CROSS JOIN LATERAL pg_identify_object(o.classid, o.objid, o.objsubid) i
LEFT JOIN LATERAL (
	SELECT c.relowner, c.relacl, CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char" FROM pg_class c WHERE o.class = 'pg_class' AND c.oid = o.objid AND o.objsubid = 0
	UNION ALL SELECT c.relowner, coalesce(a.attacl, '{}'), 'c' FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
			  WHERE o.class = 'pg_class' AND a.attrelid = o.objid AND a.attnum = o.objsubid AND o.objsubid > 0
	UNION ALL SELECT f.proowner, f.proacl, 'f' FROM pg_proc f WHERE o.class = 'pg_proc' AND f.oid = o.objid
	UNION ALL SELECT t.typowner, t.typacl, 'T' FROM pg_type t WHERE o.class = 'pg_type' AND t.oid = o.objid
	UNION ALL SELECT n.nspowner, n.nspacl, 'n' FROM pg_namespace n WHERE o.class = 'pg_namespace' AND n.oid = o.objid) p (owner, acl, kind) ON true
CROSS JOIN LATERAL (VALUES
	('definition', CASE
		WHEN o.objsubid > 0 THEN
			(SELECT concat_ws(' ', 'column', (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = a.attrelid AND b.attnum BETWEEN 1 AND a.attnum AND NOT b.attisdropped),
				format_type(a.atttypid, a.atttypmod), 'not null', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated, 'collation', a.attcollation::regcollation,
				'storage', a.attstorage, a.attcompression, 'options', array(SELECT x FROM unnest(a.attoptions) x WHERE x NOT LIKE 'pg_attver=%'), 'statistics', a.attstattarget, 'own', a.attislocal)
			 FROM pg_attribute a WHERE a.attrelid = o.objid AND a.attnum = o.objsubid)
		WHEN o.class = 'pg_extension' THEN
			(SELECT concat_ws(' ', e.extversion, e.extnamespace::regnamespace, e.extrelocatable) FROM pg_extension e WHERE e.oid = o.objid)
		WHEN o.class = 'pg_class' THEN
			(SELECT concat_ws(' ', c.relkind, c.relpersistence, (SELECT m.amname FROM pg_am m WHERE m.oid = c.relam), c.reloptions, 'row security', c.relrowsecurity,
				c.relforcerowsecurity, 'identity', c.relreplident, 'tablespace', c.reltablespace,
				pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
				CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
				(SELECT concat_ws(' ', pg_get_indexdef(x.indexrelid), x.indisvalid, x.indisclustered, x.indisreplident) FROM pg_index x WHERE x.indexrelid = c.oid),
				(SELECT (to_jsonb(s) - '{seqrelid,seqtypid}'::text[])::text || s.seqtypid::regtype FROM pg_sequence s WHERE s.seqrelid = c.oid))
			 FROM pg_class c WHERE c.oid = o.objid)
		WHEN o.class = 'pg_proc' THEN pg_get_functiondef(o.objid)
		WHEN o.class = 'pg_type' THEN
			(SELECT concat_ws(' ', t.typtype, t.typcategory, t.typbasetype::regtype, t.typtypmod, t.typnotnull, t.typdefault, t.typcollation::regcollation,
				(SELECT string_agg(l.enumlabel, ' ' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid))
			 FROM pg_type t WHERE t.oid = o.objid)
		WHEN o.class = 'pg_constraint' THEN pg_get_constraintdef(o.objid)
		WHEN o.class = 'pg_attrdef' THEN (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.oid = o.objid)
		WHEN o.class = 'pg_trigger' THEN (SELECT t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE t.oid = o.objid)
		WHEN o.class = 'pg_rewrite' THEN (SELECT r.ev_enabled::text || ' ' || pg_get_ruledef(r.oid) FROM pg_rewrite r WHERE r.oid = o.objid)
		WHEN o.class = 'pg_policy' THEN
			(SELECT concat_ws(' ', p.polcmd, p.polpermissive, array(SELECT r::regrole::text FROM unnest(p.polroles) r ORDER BY 1),
				pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid))
			 FROM pg_policy p WHERE p.oid = o.objid)
		WHEN o.class = 'pg_cast' THEN
			(SELECT concat_ws(' ', c.castfunc::regprocedure, c.castcontext, c.castmethod) FROM pg_cast c WHERE c.oid = o.objid)
		WHEN o.class = 'pg_namespace' THEN ''
		ELSE 'not written in Schema.pm: what defines a row of ' || o.class
	END),
	('privileges', (
		SELECT p.owner::regrole::text || ': ' || array(SELECT x::text FROM unnest(coalesce(p.acl, acldefault(p.kind, p.owner))) x ORDER BY 1)::text
		WHERE p.owner IS NOT NULL)),
	('privileges at first', (
		-- what default privileges gave and a script took back is written, and is what nothing written means
		SELECT nullif(array(SELECT x::text FROM unnest(f.initprivs) x ORDER BY 1)::text,
					  array(SELECT x::text FROM unnest(acldefault(p.kind, p.owner)) x ORDER BY 1)::text)
		FROM pg_init_privs f
		WHERE f.classoid = o.classid AND f.objoid = o.objid AND f.objsubid = o.objsubid)),
	('comment', (SELECT d.description FROM pg_description d WHERE d.classoid = o.classid AND d.objoid = o.objid AND d.objsubid = o.objsubid)),
	('depends on', (
		SELECT string_agg(DISTINCT concat_ws(' ', d.deptype, r.type, r.identity), ', ')
		FROM pg_depend d, pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid) r
		WHERE d.classid = o.classid AND d.objid = o.objid AND d.objsubid = o.objsubid)),
	('dumped', (
		SELECT 'where ' || x.condition FROM pg_extension e, unnest(e.extconfig, e.extcondition) x (relid, condition)
		WHERE e.extname = 'commerce' AND o.class = 'pg_class' AND o.objsubid = 0 AND x.relid = o.objid))) a (aspect, value)
WHERE a.value IS NOT NULL};

# What is there, by object and aspect
sub schema
{
	my ($db) = @_;
	my %schema;
	for (@{ $db->selectall_arrayref($query) })
	{
		my ($object, $aspect, $value) = @$_;
		die "$value: $object" if $aspect eq 'definition' && $value =~ /^not written in Schema.pm/;
		die "$object is there twice" if exists $schema{$object}{$aspect};
		$schema{$object}{$aspect} = $value;
	}
	die 'the extension has no objects' if keys %schema < 1000;
	# the rows of tables that no dump has are the extension's own
	for my $table (grep { exists $schema{$_}{definition} && /^table (?!column)/ && $schema{$_}{definition} =~ /^r/ && !$schema{$_}{dumped} } keys %schema)
	{
		my ($name) = $table =~ /^table (.*)/;
		$schema{"row of $name: $_->[0]"}{ $_->[1] } = 'there' for @{ $db->selectall_arrayref("SELECT left(t::text, 200), md5(t::text) FROM $name t") };
	}
	return \%schema;
}

# Where the first schema is not what the second is: a line for each object that only one has, and for each aspect.
sub schema_differences
{
	my ($is, $should) = @_;
	my %objects = (%$is, %$should);
	my @differences;
	for my $object (sort keys %objects)
	{
		if (!$is->{$object} || !$should->{$object})
		{
			push @differences, "$object: " . ($is->{$object} ? 'should not be' : 'is missing');
			next;
		}
		my %aspects = (%{ $is->{$object} }, %{ $should->{$object} });
		for my $aspect (sort keys %aspects)
		{
			my ($one, $other) = map { $_->{$object}{$aspect} // 'none' } $is, $should;
			push @differences, "$object: $aspect: $one; should be: $other" if $one ne $other;
		}
	}
	return @differences;
}

1;
