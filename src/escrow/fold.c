/*
 * fold.c
 *	  Adding journal rows of transactions that have ended to the narrow rows.
 *
 * One folder at a time: the lock comes first, then the snapshot, whose xmin becomes the new mark.  What
 * is available does not change, so nobody waits for a fold but who calls fold() meanwhile.  It is not
 * needed for anything to be right: it bounds how many rows are summed when a counter is loaded or stock
 * is shown.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"

#include "base/compat.h"
#include "base/lock.h"
#include "base/sql.h"
#include "escrow/counters.h"
#include "escrow/fold.h"
#include "escrow/gate.h"
#include "escrow/rows.h"

PG_FUNCTION_INFO_V1(commerce_fold);

/* What a fold does first that does not wait: keeps other folders out until the transaction ends, if there is none. */
static bool
try_begin_fold(void)
{
	gate_enter("fold()");
	return lock_try(COMMERCE_LOCK_FOLD, 0);
}

/* Folds everything; returns how many products and coupons it moved. */
static int64
fold_everything(void)
{
	static SqlStatement fold = {
		"SELECT s.folded OPERATOR(pg_catalog.+) q.folded AS folded "
		"FROM commerce_private.fold_stock(NULL, NULL) s, commerce_private.fold_quota(NULL) q",
		0, {0}, SQL_LATEST
	};
	SqlResult	result = gate_own_write(&fold, NULL);

	(void) result_next(&result);
	return result_int64(&result, "folded");
}

bool
fold_try_all(void)
{
	if (!try_begin_fold())
		return false;
	(void) fold_everything();
	return true;
}

/* Folds some resources of a kind; answers false when some are unfinished, and notes these to be folded again. */
static bool
fold_resources(EscrowKind kind, const int64 *ids, int nids, const int64 *sold_out, int nsold_out)
{
	static SqlStatement fold[] = {
		[ESCROW_STOCK] = {
			"SELECT u AS id FROM commerce_private.fold_stock($1, $2) f, pg_catalog.unnest(f.unfinished) u",
			2, {INT8ARRAYOID, INT8ARRAYOID}, SQL_LATEST
		},
		[ESCROW_QUOTA] = {
			"SELECT u AS id FROM commerce_private.fold_quota($1) f, pg_catalog.unnest(f.unfinished) u",
			1, {INT8ARRAYOID}, SQL_LATEST
		},
	};
	CounterKey	key = {MyDatabaseId, rows_journal(kind), 0};
	SqlResult	unfinished;

	if (nids == 0)
		return true;
	unfinished = gate_own_write(&fold[kind], SQL_ARGS(sql_int8_array(ids, nids), sql_int8_array(sold_out, nsold_out)));
	while (result_next(&unfinished))
	{
		key.id = result_int64(&unfinished, "id");
		counters_fold_again(&key);
	}
	return unfinished.n == 0;
}

bool
fold_try_some(int64 least)
{
	static const EscrowKind kinds[] = {ESCROW_STOCK, ESCROW_QUOTA};
	bool		finished = true;

	if (!try_begin_fold())
		return false;
	for (int i = 0; i < (int) lengthof(kinds); i++)
	{
		int64	   *ids;
		int64	   *sold_out;
		int			nsold_out;
		int			nids = counters_to_fold(rows_journal(kinds[i]), least, &ids, &sold_out, &nsold_out);

		finished = fold_resources(kinds[i], ids, nids, sold_out, nsold_out) && finished;
	}
	return finished;
}

/*
 * fold()
 *
 * Folds everything that can be.  Rows that an order holds locked (the form without shared memory) are
 * left for the next time.
 */
Datum
commerce_fold(PG_FUNCTION_ARGS)
{
	gate_enter("fold()");
	lock_take(COMMERCE_LOCK_FOLD, 0);
	PG_RETURN_INT64(fold_everything());
}
