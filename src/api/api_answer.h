/*
 * api_answer.h
 *	  What a function has returned, as JSON.
 */
#ifndef COMMERCE_API_ANSWER_H
#define COMMERCE_API_ANSWER_H

#include "access/htup_details.h"
#include "lib/stringinfo.h"

#include "base/catalog.h"

/* What a function has returned. */
typedef struct ApiResult
{
	Oid			type;
	bool		isnull;
	Datum		value;
} ApiResult;

/* How many columns of a type are commerce's own, if it is that of a table's rows that are answered; else 0. */
extern int	answer_own_columns(Oid type);

/* Appends a result: a row as an object with its own columns but for those that only the extension uses. */
extern void answer_append(StringInfo json, const ApiResult *result, const char *name);

/* The same of a row of orders or order_sheets, with its lines. */
extern void answer_append_with_lines(StringInfo json, const ApiResult *result);

/* Whether it is a row of a table. */
extern bool answer_is_row_of(const ApiResult *result, CatalogRelation table);

/*
 * A member of what answer_append() appends for a result that is a row, jsonb, or a scalar called so, as text; NULL: it is
 * not there, or null.
 */
extern char *answer_member(const ApiResult *result, const char *name, const char *member);

#endif
