/*
 * error.h
 *	  Raising the errors of error_codes.h.
 */
#ifndef COMMERCE_ERROR_H
#define COMMERCE_ERROR_H

#include "base/compat.h"

typedef enum Language
{
	LANGUAGE_ENGLISH,
	LANGUAGE_KOREAN,
} Language;

/* The setting commerce.language. */
extern int	error_language;

/* Response headers of our own, which scripts of other origins may read. */
#define EXPOSED_HEADERS		"Location, Idempotent-Replayed, Retry-After, WWW-Authenticate"

typedef enum ErrorCode
{
#define ERROR_CODE(code, status, sqlstate, en, ko) ERROR_##code,
#include "base/error_codes.h"
#undef ERROR_CODE
} ErrorCode;

/* True when PostgREST made this call, and not SQL. */
extern bool request_is_http(void);

/* Whether messages are to be in Korean, not English. */
extern bool request_speaks_korean(void);

/*
 * Member of the JSON object in one of PostgREST's settings, as palloc'd text; NULL when there is none, or
 * when what is set is something else.
 */
extern char *request_member(const char *setting, const char *name);

/* Value of a request header (name in lower case), palloc'd, or NULL. */
extern char *request_header(const char *name);

/*
 * Raises an error with the detail that the format makes (a sentence fragment that names the things
 * concerned and their ids; NULL for none).
 */
pg_noreturn extern void raise_error(ErrorCode code, const char *detail_format,...) pg_attribute_printf(2, 3);

/* The same with a ready detail and hint, each of which may be NULL. */
pg_noreturn extern void raise_error_hint(ErrorCode code, const char *detail, const char *hint);

#endif
