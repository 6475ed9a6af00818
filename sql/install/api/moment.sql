-- REST: times. PostgREST looks for casts of a view's domains, and uses them for what it answers and compares with. So
-- every time of a view has one form, whatever TimeZone says, and one of a query without an offset is the shop's.

CREATE DOMAIN commerce_api.moment AS timestamptz;
COMMENT ON DOMAIN commerce_api.moment IS 'a time as REST shows and reads it';

CREATE FUNCTION commerce_api.moment_to_json(commerce_api.moment)
RETURNS json
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_moment_to_json';
COMMENT ON FUNCTION commerce_api.moment_to_json(commerce_api.moment) IS 'a time as answers have it: "2026-12-01T00:00:00+00:00"';

CREATE FUNCTION commerce_api.moment_from_text(text)
RETURNS commerce_api.moment
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_moment_from_text';
COMMENT ON FUNCTION commerce_api.moment_from_text(text) IS
	'a time as requests write it, read as read_time() does. Errors: INVALID_REQUEST';

-- PostgreSQL warns that it does not use casts of domains itself
SET LOCAL client_min_messages = error;
CREATE CAST (commerce_api.moment AS json) WITH FUNCTION commerce_api.moment_to_json(commerce_api.moment) AS IMPLICIT;
CREATE CAST (text AS commerce_api.moment) WITH FUNCTION commerce_api.moment_from_text(text) AS IMPLICIT;
RESET client_min_messages;
