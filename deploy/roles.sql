-- The database roles of REST, once for each database: psql -d shop -v password=… -f roles.sql
\if :{?password}
\else
	\echo 'Give the password that PostgREST connects with: -v password=…'
	\quit
\endif
CREATE ROLE web_anon;
CREATE ROLE web_buyer;
CREATE ROLE web_seller;
CREATE ROLE web_admin;
CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD :'password';
-- a request waits so long for a lock, and in all, and is then 429 SERVICE_BUSY
ALTER ROLE authenticator SET lock_timeout = '2s';
ALTER ROLE authenticator SET statement_timeout = '10s';
SELECT commerce.grant_api('web_anon', 'web_buyer', 'web_seller', 'web_admin');
