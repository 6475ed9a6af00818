/*
 * elsewhere.c
 *	  What a cell and the program that moves units between cells (commerce-mover) tell each other by the counters.
 *
 * The mover says how many units other cells have; a counter keeps that, so that a refusal reads no row.  It counts for
 * a moment only.  Whoever is short while other cells have units, or may have, notes what he wants, and waits on the
 * counter.  All of it is gone with the server, and nothing that is safe depends on it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/news.h"
#include "escrow/counters.h"
#include "escrow/rows.h"

#define MOST_HINTS		1000000
#define MOST_WAIT_MS	60000

PG_FUNCTION_INFO_V1(commerce_nothing_elsewhere);
PG_FUNCTION_INFO_V1(commerce_quota_elsewhere);
PG_FUNCTION_INFO_V1(commerce_set_elsewhere);
PG_FUNCTION_INFO_V1(commerce_stock_elsewhere);
PG_FUNCTION_INFO_V1(commerce_wait_for_wants);

static CounterKey
key_of_resource(EscrowKind kind, int64 id)
{
	CounterKey	key = {MyDatabaseId, rows_journal(kind), id};

	return key;
}

/* The elements of an argument, a bigint[] with none that is null. */
static const int64 *
arg_int64s(FunctionCallInfo fcinfo, int i, const char *name, int *n)
{
	ArrayType  *array = arg_array_or_null(fcinfo, i);

	if (array == NULL)
		raise_invalid(name, "must not be null");
	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		raise_invalid(name, "must be a list without nulls");
	*n = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
	if (*n > MOST_HINTS)
		raise_invalid(name, "must have at most %d elements", MOST_HINTS);
	return (const int64 *) ARR_DATA_PTR(array);
}

/*
 * set_elsewhere(kind unit_kind, resource_ids bigint[], units bigint[])
 */
Datum
commerce_set_elsewhere(PG_FUNCTION_ARGS)
{
	EscrowKind	kind = (EscrowKind) arg_label(fcinfo, 0, "kind", TYPE_UNIT_KIND);
	int			n;
	int			nunits;
	const int64 *ids = arg_int64s(fcinfo, 1, "resource_ids", &n);
	const int64 *units = arg_int64s(fcinfo, 2, "units", &nunits);
	bool		fold = false;

	if (n != nunits)
		raise_invalid("units", "must be as many as resource_ids");
	for (int i = 0; i < n; i++)
		if (units[i] < 0)
			raise_invalid("units", "must be 0 or more");
	for (int i = 0; i < n; i++)
	{
		CounterKey	key = key_of_resource(kind, ids[i]);

		fold = counters_hint(&key, Min(units[i], UNKNOWN_ELSEWHERE - 1)) || fold;
	}
	if (fold)
		news_tell(NEWS_WRITTEN);
	PG_RETURN_VOID();
}

/*
 * wait_for_wants(timeout interval)
 *
 * Rows (kind unit_kind, resource_id bigint, wanted bigint, available bigint).
 */
Datum
commerce_wait_for_wants(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Interval   *timeout = DatumGetIntervalP(arg_datum(fcinfo, 0, "timeout"));
	double		ms = (timeout->time / 1000.0) + timeout->day * (double) SECS_PER_DAY * 1000 + timeout->month * 30.0 * SECS_PER_DAY * 1000;
	Want	   *wants;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (ms < 0 || ms > MOST_WAIT_MS)
		raise_invalid("timeout", "must be from 0 to a minute");
	if (!counters_exist())
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (long) ms, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		return (Datum) 0;
	}
	n = counters_take_wants((long) ms, &wants);
	for (int i = 0; i < n; i++)
	{
		UnitKind	kind;
		Datum		values[4];
		bool		nulls[4] = {false};

		if (wants[i].key.journal == rows_journal(ESCROW_STOCK))
			kind = UNIT_KIND_STOCK;
		else if (wants[i].key.journal == rows_journal(ESCROW_QUOTA))
			kind = UNIT_KIND_QUOTA;
		else
			continue;
		values[0] = catalog_label(TYPE_UNIT_KIND, kind);
		values[1] = Int64GetDatum(wants[i].key.id);
		values[2] = Int64GetDatum(wants[i].units);
		values[3] = Int64GetDatum(wants[i].available);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * stock_elsewhere(product_id bigint), quota_elsewhere(coupon_id bigint)
 */
Datum
commerce_stock_elsewhere(PG_FUNCTION_ARGS)
{
	CounterKey	key = key_of_resource(ESCROW_STOCK, PG_GETARG_INT64(0));

	PG_RETURN_INT64(counters_hinted(&key));
}

Datum
commerce_quota_elsewhere(PG_FUNCTION_ARGS)
{
	CounterKey	key = key_of_resource(ESCROW_QUOTA, PG_GETARG_INT64(0));

	PG_RETURN_INT64(counters_hinted(&key));
}

/*
 * nothing_elsewhere(product_id bigint)
 *
 * Whether no other cell has units of a product: there is no other, or it was said a moment ago.
 */
Datum
commerce_nothing_elsewhere(PG_FUNCTION_ARGS)
{
	CounterKey	key = key_of_resource(ESCROW_STOCK, PG_GETARG_INT64(0));
	int64		available;
	int64		in_flight;
	int64		elsewhere;

	if (!counters_exist())
		PG_RETURN_BOOL(true);
	if (counters_look(&key, &available, &in_flight, &elsewhere))
		PG_RETURN_BOOL(elsewhere == 0);
	PG_RETURN_BOOL(!rows_are_shared(ESCROW_STOCK, key.id));
}
