/*
 * fold.c
 *	  Adding journal rows of transactions that have ended to the narrow rows.
 *
 * One folder at a time: the lock comes first, then the snapshot, whose xmin becomes the new mark.  What
 * is available does not change, so nobody waits for a fold.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "compat.h"
#include "gate.h"
#include "spi_util.h"

PG_FUNCTION_INFO_V1(commerce_fold);

/*
 * fold()
 *
 * Folds everything that can be.  Rows that an order holds locked (the form without shared memory) are
 * left for the next time.
 */
Datum
commerce_fold(PG_FUNCTION_ARGS)
{
	static SqlStatement fold_all = {"SELECT commerce.fold_stock() OPERATOR(pg_catalog.+) commerce.fold_quota()", 0, {0}};
	LOCKTAG		tag;
	int64		folded;

	gate_enter("fold()");
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, COMMERCE_LOCK_FOLD);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);

	SPI_connect();
	gate_own_write_begin();
	sql_execute_latest(&fold_all, NULL, NULL);
	gate_own_write_end();
	folded = sql_int64(0, 1);
	SPI_finish();
	PG_RETURN_INT64(folded);
}
