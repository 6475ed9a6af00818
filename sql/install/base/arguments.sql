-- What functions ask of their arguments, beside what errors.sql has.

CREATE FUNCTION commerce_private.check_metadata(metadata jsonb)
RETURNS void
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_check_metadata';
COMMENT ON FUNCTION commerce_private.check_metadata(jsonb) IS
	'raises INVALID_REQUEST unless metadata is an object of at most 16 384 bytes, or NULL';

CREATE FUNCTION commerce_private.check_amount(argument text, value bigint)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF check_amount.value NOT BETWEEN 0 AND 1000000000000 THEN
		PERFORM commerce_private.raise_invalid(check_amount.argument, 'must be between 0 and 1 000 000 000 000');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_amount(text, bigint) IS
	'raises INVALID_REQUEST when money is negative or above 1 000 000 000 000. NULL passes';

CREATE FUNCTION commerce_private.is_time(at timestamptz)
RETURNS boolean
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_is_time';
COMMENT ON FUNCTION commerce_private.is_time(timestamptz) IS
	'whether a time can be kept: finite, and of a year from 1 to 9999, as RFC 3339 has them';

CREATE FUNCTION commerce_private.read_time(given text)
RETURNS timestamptz
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'commerce_read_time';
COMMENT ON FUNCTION commerce_private.read_time(text) IS
	'a time as requests write it, 2026-12-01T09:00:00+09:00; without an offset it is in commerce.timezone, and a day alone is its midnight. NULL: it is none';

CREATE FUNCTION commerce_private.check_time(argument text, value timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT commerce_private.is_time(check_time.value) THEN
		PERFORM commerce_private.raise_invalid(check_time.argument, 'must be finite, and of a year from 1 to 9999');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_time(text, timestamptz) IS
	'raises INVALID_REQUEST for what is_time() refuses. NULL passes';

CREATE FUNCTION commerce_private.check_end(argument text, value timestamptz, start timestamptz)
RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM commerce_private.check_time(check_end.argument, check_end.value);
	IF check_end.value <= check_end.start THEN
		PERFORM commerce_private.raise_invalid(check_end.argument, 'must be after its start');
	END IF;
	IF check_end.value <= pg_catalog.statement_timestamp() THEN
		PERFORM commerce_private.raise_invalid(check_end.argument, 'must not be past');
	END IF;
END
$$;
COMMENT ON FUNCTION commerce_private.check_end(text, timestamptz, timestamptz) IS
	'raises INVALID_REQUEST unless an end is finite, after its start and to come. NULL passes';

-- What every update_...() takes: attributes, of which NULL leaves the value there is, and names of those to be emptied.
CREATE FUNCTION commerce_private.changes(given jsonb, clear text[], clearable text[])
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	result jsonb;
	attribute text;
BEGIN
	SELECT coalesce(pg_catalog.jsonb_object_agg(g.key, g.value), '{}') INTO result
	FROM pg_catalog.jsonb_each(given) g WHERE g.value <> 'null';
	FOREACH attribute IN ARRAY coalesce(clear, '{}') LOOP
		IF NOT coalesce(given ? attribute, false) THEN
			PERFORM commerce_private.raise_invalid('clear',
				pg_catalog.format('names %s, which is no attribute', coalesce(attribute, 'NULL')));
		ELSIF attribute <> ALL (clearable) THEN
			PERFORM commerce_private.raise_invalid('clear', pg_catalog.format('names %s, which must have a value', attribute));
		ELSIF given->attribute <> 'null' THEN
			PERFORM commerce_private.raise_invalid('clear', pg_catalog.format('names %s, which is given as well', attribute));
		END IF;
		result := result || pg_catalog.jsonb_build_object(attribute, NULL);
	END LOOP;
	RETURN result;
END
$$;
COMMENT ON FUNCTION commerce_private.changes(jsonb, text[], text[]) IS
	'what an update_...() changes, for jsonb_populate_record(): the attributes that are given, and NULL for those that clear names. clear has passed check_texts(). given: all attributes that can be changed, null when not given; clearable: those that need no value. Errors: INVALID_REQUEST';
