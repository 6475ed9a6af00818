-- docs/reference.md and docs/configuration.md are what scripts/reference makes of this code.
-- role: postgres

SELECT plan(4);
\setenv PGDATABASE :DBNAME
\setenv PGUSER :USER
\set made `scripts/reference configuration.md`
\set committed `cat docs/configuration.md`
SELECT is(:'committed'::text, :'made'::text, 'docs/configuration.md is current; scripts/reference writes it');
\set made `scripts/reference reference.md`
\set committed `cat docs/reference.md`
SELECT cmp_ok(length(:'made'), '>', 10000, 'the reference is made, its examples run');
-- line by line, so that what differs is seen
SELECT bag_eq(format('SELECT string_to_table(%L, E''\n'')', :'committed'), format('SELECT string_to_table(%L, E''\n'')', :'made'),
	'docs/reference.md is current; scripts/reference writes it');
SELECT ok(:'committed' = :'made', 'in its order, too');
SELECT * FROM finish();
