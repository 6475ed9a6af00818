/*
 * args.h
 *	  Reading the arguments of SQL functions by name.
 */
#ifndef COMMERCE_ARGS_H
#define COMMERCE_ARGS_H

#include "fmgr.h"
#include "utils/array.h"
#include "utils/jsonb.h"

#include "base/catalog.h"

/*
 * Argument number i, from 0.  Null is INVALID_REQUEST: "user_id must not be null".  A text is also tested for its
 * length (text_limit.h).
 */
extern int64 arg_int64(FunctionCallInfo fcinfo, int i, const char *name);
extern bool arg_bool(FunctionCallInfo fcinfo, int i, const char *name);
extern text *arg_text(FunctionCallInfo fcinfo, int i, const char *name);
extern int	arg_label(FunctionCallInfo fcinfo, int i, const char *name, CatalogType type);
extern Datum arg_datum(FunctionCallInfo fcinfo, int i, const char *name);

/* The same of an argument that must be 1 or more. */
extern int64 arg_positive(FunctionCallInfo fcinfo, int i, const char *name);
/* The argument quantity: how many units; null is 0, for all. */
extern int64 arg_quantity(FunctionCallInfo fcinfo, int i);
extern int32 arg_max_rows(FunctionCallInfo fcinfo, int i);

/* NULL for null. */
extern text *arg_text_or_null(FunctionCallInfo fcinfo, int i, const char *name);
extern Jsonb *arg_jsonb_or_null(FunctionCallInfo fcinfo, int i);
/* The argument metadata; NULL for null. */
extern Jsonb *arg_metadata(FunctionCallInfo fcinfo, int i);
extern ArrayType *arg_array_or_null(FunctionCallInfo fcinfo, int i);

#endif
