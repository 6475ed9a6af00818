/*
 * args.c
 *	  Reading the arguments of SQL functions by name.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/text_limit.h"

Datum
arg_datum(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i))
		raise_invalid(name, "must not be null");
	return PG_GETARG_DATUM(i);
}

int64
arg_int64(FunctionCallInfo fcinfo, int i, const char *name)
{
	return DatumGetInt64(arg_datum(fcinfo, i, name));
}

bool
arg_bool(FunctionCallInfo fcinfo, int i, const char *name)
{
	return DatumGetBool(arg_datum(fcinfo, i, name));
}

text *
arg_text(FunctionCallInfo fcinfo, int i, const char *name)
{
	Datum		value = arg_datum(fcinfo, i, name);

	text_check(name, value);
	return DatumGetTextPP(value);
}

int
arg_label(FunctionCallInfo fcinfo, int i, const char *name, CatalogType type)
{
	return catalog_label_of(type, arg_datum(fcinfo, i, name));
}

int64
arg_positive(FunctionCallInfo fcinfo, int i, const char *name)
{
	if (PG_ARGISNULL(i) || PG_GETARG_INT64(i) < 1)
		raise_invalid(name, "must be 1 or more");
	return PG_GETARG_INT64(i);
}

int64
arg_quantity(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i))
		return 0;
	if (PG_GETARG_INT64(i) < 1)
		raise_invalid("quantity", "must be 1 or more, or null for all");
	return PG_GETARG_INT64(i);
}

int32
arg_max_rows(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i) || PG_GETARG_INT32(i) < 1)
		raise_invalid("max_rows", "must be 1 or more");
	return PG_GETARG_INT32(i);
}

text *
arg_text_or_null(FunctionCallInfo fcinfo, int i, const char *name)
{
	return PG_ARGISNULL(i) ? NULL : arg_text(fcinfo, i, name);
}

Jsonb *
arg_jsonb_or_null(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : PG_GETARG_JSONB_P(i);
}

Jsonb *
arg_metadata(FunctionCallInfo fcinfo, int i)
{
	if (PG_ARGISNULL(i))
		return NULL;
	metadata_check(PG_GETARG_DATUM(i));
	return PG_GETARG_JSONB_P(i);
}

ArrayType *
arg_array_or_null(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : PG_GETARG_ARRAYTYPE_P(i);
}
