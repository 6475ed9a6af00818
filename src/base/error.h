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
#define ERROR_CODE(code, status, sqlstate, en, ko, keys) ERROR_##code,
#include "base/error_codes.h"
#undef ERROR_CODE
} ErrorCode;

/* Why, in the detail of every code but INVALID_REQUEST. */
typedef enum ErrorReason
{
#define ERROR_REASON(word, en, ko) REASON_##word,
#define ERROR_HINT(en, ko)
#include "base/error_reasons.h"
#undef ERROR_REASON
#undef ERROR_HINT
	REASON_NONE
} ErrorReason;

extern const char *error_reason_word(ErrorReason reason);

/* Whether messages are to be in Korean, not English. */
extern bool request_speaks_korean(void);

/* A member of the JSON object that is an error's detail; error_codes.h lists the keys of each code. */
typedef struct DetailMember
{
	const char *key;
	const char *text;			/* NULL: it is a number */
	int64		number;
} DetailMember;

#define D_INT(key, number)	{key, NULL, number}
#define D_TEXT(key, text)	{key, text, 0}
#define D_REASON(reason)	{"reason", error_reason_word(reason), 0}

/* A last member, left out unless a condition holds. */
#define D_INT_IF(condition, key, number)	{(condition) ? key : NULL, NULL, number}
#define D_TEXT_IF(condition, key, text)		{(condition) ? key : NULL, (condition) ? (text) : NULL, 0}

/* Raises an error with members of its detail: raise_error(ERROR_PRODUCT_NOT_ON_SALE, D_INT("product_id", 7)). */
#define raise_error(code, ...)	raise_error_hint(code, NULL, __VA_ARGS__)

/* The same with a hint of error_reasons.h; NULL: the sentence of its reason, if it has one. */
#define raise_error_hint(code, hint, ...) \
	raise_error_members(code, hint, (const DetailMember[]) {__VA_ARGS__, {NULL, NULL, 0}})

pg_noreturn extern void raise_error_members(ErrorCode code, const char *hint, const DetailMember *members);

/* Raises INVALID_REQUEST: what is wrong with an argument, as a fragment that goes on from its name. */
pg_noreturn extern void raise_invalid(const char *argument, const char *reason,...) pg_attribute_printf(2, 3);

/* Raises ENTITY_NOT_FOUND. */
pg_noreturn extern void raise_not_found(const char *entity, int64 id);

#endif
