-- role: postgres
-- What reading costs over REST, in pages: with 30 000 orders there, a request reads about what it answers, and nothing
-- from end to end.

SELECT no_plan();
SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin') \g /dev/null
\set orders 30000
\set quiet on
\ir ../../bench/reading.sql
SELECT cmp_ok(r.pages, '<=', r.most::bigint, format('%s: %s', r.role, r.request)) FROM reading r WHERE r.most IS NOT NULL ORDER BY r.n;
SELECT is_empty('SELECT request FROM reading WHERE pages IS NULL', 'all were asked');
SELECT ok(r.rows > 0, format('%s: %s answers something', r.role, r.request)) FROM reading r
WHERE r.request !~ 'PENDING_PAYMENT|UNEXPECTED|REQUESTED|asked|promotions|with little' ORDER BY r.n;
SELECT * FROM finish();
