-- The database of the HTTP tests: the roles of test/pgtap/setup.sql are let in, and one administrator is there.
SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin');
-- as in deploy/roles.sql
ALTER ROLE authenticator SET max_stack_depth = '7MB';
SELECT commerce.create_user('Ann', 'ann@example.com', role => 'ADMIN');
