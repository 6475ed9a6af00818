-- Errors: the table of codes lives in C (src/base/error_codes.h); these functions show it and raise from it.

CREATE FUNCTION commerce.error_codes(
	OUT http_status int, OUT code text, OUT "sqlstate" text, OUT message text, OUT message_ko text, OUT detail_keys text)
RETURNS SETOF record
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_error_codes';
COMMENT ON FUNCTION commerce.error_codes() IS
	'every error the extension raises: HTTP status, code, SQLSTATE, its message in English and Korean, and the keys that its detail, a JSON object, can have';

CREATE FUNCTION commerce_private.error_texts(OUT reason text, OUT sentence text, OUT sentence_ko text)
RETURNS SETOF record
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_error_texts';
COMMENT ON FUNCTION commerce_private.error_texts() IS
	'why, as the details of errors have it, with the sentence that is the hint; NULL: a hint without such a word';

CREATE FUNCTION commerce_private.raise_error(code text, detail jsonb DEFAULT NULL, hint text DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_raise_error';
COMMENT ON FUNCTION commerce_private.raise_error(text, jsonb, text) IS
	'raises an error of error_codes() in the face the caller needs (SQLSTATE in SQL, PostgREST''s JSON over HTTP); detail: an object with keys that the table has for the code';

CREATE FUNCTION commerce_private.raise_invalid(argument text, reason text, hint text DEFAULT NULL)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.raise_error('INVALID_REQUEST',
		pg_catalog.jsonb_build_object('argument', argument, 'reason', reason), hint)
$$;
COMMENT ON FUNCTION commerce_private.raise_invalid(text, text, text) IS
	'raises INVALID_REQUEST: what is wrong with an argument, as a fragment that goes on from its name';

CREATE FUNCTION commerce_private.raise_not_found(entity text, id anyelement)
RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT commerce_private.raise_error('ENTITY_NOT_FOUND',
		pg_catalog.jsonb_build_object('entity', entity, 'id', id))
$$;
COMMENT ON FUNCTION commerce_private.raise_not_found(text, anyelement) IS 'raises ENTITY_NOT_FOUND; id: a number, or a name';

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

CREATE FUNCTION commerce_private.check_text(argument text, value text)
RETURNS void
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_check_text';
COMMENT ON FUNCTION commerce_private.check_text(text, text) IS
	'refuses a text that is longer than what an argument of the name may have (src/base/text_limit.c). Errors: INVALID_REQUEST';

CREATE FUNCTION commerce_private.check_texts(argument text, elements text[])
RETURNS void
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_check_texts';
COMMENT ON FUNCTION commerce_private.check_texts(text, text[]) IS
	'refuses an array with a text that is too long, or with more than 1000 elements. Errors: INVALID_REQUEST';
