-- Errors are caught here alone: what PL/pgSQL catches by itself a caller may turn against us (src/base/attempt.c).

CREATE FUNCTION commerce_private.attempt(
	caught text[], function regprocedure, VARIADIC arguments "any",
	OUT result text, OUT sqlstate text, OUT message text, OUT constraint_name text)
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'commerce_attempt';
COMMENT ON FUNCTION commerce_private.attempt(text[], regprocedure, "any") IS
	'calls a function in a subtransaction, and answers its result as text, or the error for which that was rolled back; sqlstate NULL: there was none. caught: which errors, each by the beginning of its SQLSTATE or by the unique constraint that it breaks; NULL: all but those that say that the server is in trouble (SQLSTATE 53, 57, 58, XX). Any other is raised. Arguments have just the types that the function takes';
