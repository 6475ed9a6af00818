-- Errors: the table of codes lives in C (src/error_codes.h); these functions show it and raise from it.

CREATE FUNCTION commerce.error_codes(
	OUT http_status int, OUT code text, OUT "sqlstate" text, OUT message text, OUT message_ko text)
RETURNS SETOF record
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_error_codes';
COMMENT ON FUNCTION commerce.error_codes() IS
	'every error the extension raises: HTTP status, code, SQLSTATE, and its message in English and Korean';

CREATE FUNCTION commerce_private.raise_error(code text, detail text DEFAULT NULL, hint text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_raise_error';
COMMENT ON FUNCTION commerce_private.raise_error(text, text, text) IS
	'raises an error of error_codes() in the face the caller needs (SQLSTATE in SQL, PostgREST''s JSON over HTTP)';

CREATE FUNCTION commerce_private.request_header(name text)
RETURNS text
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_request_header';
COMMENT ON FUNCTION commerce_private.request_header(text) IS
	'value of a header (name in lower case) of the HTTP request that PostgREST is serving';

CREATE FUNCTION commerce_private.setting(name text)
RETURNS text
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_setting';
COMMENT ON FUNCTION commerce_private.setting(text) IS
	'current_setting() of one of the extension''s own settings, which a session does not know before it has loaded the library';

CREATE FUNCTION commerce_private.local_date(at timestamptz DEFAULT pg_catalog.now())
RETURNS date
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_local_date';
COMMENT ON FUNCTION commerce_private.local_date(timestamptz) IS
	'the calendar day of a moment in commerce.timezone; without an argument: today. Errors: INVALID_REQUEST';
