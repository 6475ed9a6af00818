/*
 * key.c
 *	  Transaction ids as the tables have them: bigint, which every driver reads and every language compares.
 *
 * No cast leads from xid8 to bigint.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/xid8.h"

#include "base/key.h"

PG_FUNCTION_INFO_V1(commerce_to_key);

int64
current_key(void)
{
	return key_of(GetTopFullTransactionId());
}

/*
 * to_key(xid8)
 */
Datum
commerce_to_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(key_of(PG_GETARG_FULLTRANSACTIONID(0)));
}
