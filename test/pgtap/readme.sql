-- The README's quick start does what it says.

SELECT plan(4);
\set quick_start `sed -n '/^## Quick start/,/^## Y/{/^SELECT/p}' README.md`
SELECT ok(:'quick_start' LIKE '%place_order%', 'there is one');
\o /dev/null
:quick_start
\o
SELECT is((SELECT array_agg(id) FROM commerce.users), '{1}', 'user 1');
SELECT is(balance, 36000::bigint, 'two teapots for 64000 of 100000') FROM commerce.get_balance(1);
SELECT is(commerce.available_stock(1), 8::bigint, 'eight are left');
SELECT * FROM finish();
