/*
 * metadata.c
 *	  The shop's own attributes of a thing: one JSON object.
 *
 * Its size is tested before it is unpacked: what is too large costs nothing.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/metadata.h"

#define MOST_BYTES		16384

PG_FUNCTION_INFO_V1(commerce_check_metadata);

void
metadata_check(Datum metadata)
{
	if (toast_raw_datum_size(metadata) - VARHDRSZ > MOST_BYTES)
		raise_invalid("metadata", "must have at most %d bytes", MOST_BYTES);
	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(metadata)))
		raise_invalid("metadata", "must be a JSON object");
}

/*
 * check_metadata(metadata jsonb)
 *
 * metadata_check() for the functions that are written in SQL; null passes.
 */
Datum
commerce_check_metadata(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0))
		metadata_check(PG_GETARG_DATUM(0));
	PG_RETURN_VOID();
}
