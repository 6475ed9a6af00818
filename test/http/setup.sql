-- The database of the HTTP tests: the roles of test/pgtap/setup.sql are let in, and one administrator is there.
SELECT commerce.grant_api('api_anon', 'api_buyer', 'api_seller', 'api_admin');
SELECT commerce.create_user('Ann', 'ann@example.com', role => 'ADMIN');
-- more than a page
SELECT count(commerce.create_user('Page ' || i)) FROM generate_series(1, 1000) i;
-- all would be compiled, if it were not for jit = off in deploy/roles.sql
ALTER ROLE authenticator SET jit_above_cost = 0;
-- a server of another place: no answer shows it
ALTER ROLE authenticator SET TimeZone = 'America/St_Johns';
ALTER ROLE authenticator SET DateStyle = 'German';
-- identity.test.mjs has tokens that name users by external_id; its PostgREST connects as a role of its own
CREATE ROLE authenticator_external LOGIN NOINHERIT;
GRANT api_anon, api_buyer, api_seller, api_admin TO authenticator_external;
ALTER ROLE authenticator_external SET commerce.jwt_subject = 'external_id';
