-- The database roles of REST, and what they may do: to be run in the shop's database, as a superuser.
-- Can be run again, for another database of the server or with another password: what is there is kept.
-- The password that PostgREST connects with is psql's variable `password`, or else AUTHENTICATOR_PASSWORD.
\set ON_ERROR_STOP on
\if :{?password}
\else
	\getenv password AUTHENTICATOR_PASSWORD
\endif
\if :{?password}
\else
	DO $$ BEGIN RAISE 'There is no password for PostgREST: set psql''s variable password, or AUTHENTICATOR_PASSWORD.'; END $$;
\endif

SELECT format('CREATE ROLE %I', role)
FROM unnest(ARRAY['web_anon', 'web_buyer', 'web_seller', 'web_admin', 'authenticator']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
\gexec

-- what has the password in it is not for the server's log
BEGIN;
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';
ALTER ROLE authenticator LOGIN NOINHERIT PASSWORD :'password';
COMMIT;
-- a request waits so long for a lock, and in all; a function is then 429 SERVICE_BUSY
ALTER ROLE authenticator SET lock_timeout = '2s';
ALTER ROLE authenticator SET statement_timeout = '10s';
-- what everybody may read is read quickly, or was asked to be slow
ALTER ROLE web_anon SET statement_timeout = '3s';
-- no code is compiled for a query that anybody can make as wide as he likes: LLVM does not look at timeouts
ALTER ROLE authenticator SET jit = off;
-- JSON as deep as a body of 80 kB can be; what is deeper is 500. Needs the usual 8 MB of `ulimit -s`
ALTER ROLE authenticator SET max_stack_depth = '7MB';
-- over REST a charge is what a payment provider has taken, not what a buyer says
SELECT format('ALTER DATABASE %I SET commerce.direct_charge = off', current_database()) \gexec
SET commerce.direct_charge = off;
SELECT commerce.grant_api('web_anon', 'web_buyer', 'web_seller', 'web_admin');
