/*
 * archive.c
 *	  Orders that are archived: what moves them there, and what of them is asked for when they are gone.
 *
 * A batch is of the SQL of archive.sql, which changes journals that the gate guards: as an own write, so that orders go
 * on.  It changes nothing that a counter has: what it adds up was folded long ago.  It waits for no order's row.
 *
 * Who looks for an order in the shop's tables and then here misses none: one that is not seen there any more is seen
 * here, by a later snapshot.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "shop/archive.h"

PG_FUNCTION_INFO_V1(commerce_archive);

/*
 * archive(max_rows int)
 *
 * Returns how many rows were moved or folded.
 */
Datum
commerce_archive(PG_FUNCTION_ARGS)
{
	static SqlStatement batch = {"SELECT commerce_private.archive_batch($1) AS written", 1, {INT4OID}};
	SqlResult	row;

	gate_enter("archive()");
	row = gate_own_write(&batch, SQL_ARGS(Int32GetDatum(arg_max_rows(fcinfo, 0))));
	(void) result_next(&row);
	PG_RETURN_INT32(result_int32(&row, "written"));
}

bool
archive_find_order(int64 order_id, Archived *archived)
{
	static SqlStatement find = {
		"SELECT a.user_id, a.payment_amount, commerce_private.archived_row(a) AS row "
		"FROM commerce_private.archived a WHERE a.order_id OPERATOR(pg_catalog.=) $1",
		1, {INT8OID}, SQL_LATEST
	};
	SqlResult	row = sql_query(&find, SQL_ARGS(Int64GetDatum(order_id)));

	if (!result_next(&row))
		return false;
	archived->user_id = result_int64(&row, "user_id");
	archived->payment_amount = result_int64(&row, "payment_amount");
	archived->row = result_varlena(&row, "row");
	return true;
}

bool
archive_knows_refund(int64 payment_id, bool succeeded, Datum *row)
{
	static SqlStatement find = {
		"SELECT pg_catalog.jsonb_populate_record(NULL::commerce.payments, pg_catalog.to_jsonb(p)) AS row "
		"FROM commerce_private.find_archived('payment', $1) a "
		"JOIN commerce_archive.payments p ON p.month OPERATOR(pg_catalog.=) a.month "
		"WHERE p.id OPERATOR(pg_catalog.=) $1 AND p.kind OPERATOR(pg_catalog.=) 'REFUND' "
		"AND p.method OPERATOR(pg_catalog.=) 'EXTERNAL' "
		"AND (p.status OPERATOR(pg_catalog.<>) 'FAILED' OR NOT $2)",
		2, {INT8OID, BOOLOID}, SQL_LATEST
	};
	SqlResult	found = sql_query(&find, SQL_ARGS(Int64GetDatum(payment_id), BoolGetDatum(succeeded)));

	if (!result_next(&found))
		return false;
	*row = result_varlena(&found, "row");
	return true;
}

void
archive_raise_missing(const char *entity, int64 id, const Actor *actor)
{
	/* a seller's is what has lines of the seller */
	static SqlStatement find = {
		"SELECT a.archived_at FROM commerce_private.find_archived($1, $2) a WHERE a.order_id IS NOT NULL "
		"AND ($3 IS NULL OR a.user_id OPERATOR(pg_catalog.=) $3) "
		"AND ($4 IS NULL OR EXISTS (SELECT FROM commerce_archive.order_items i "
		"  WHERE i.order_id OPERATOR(pg_catalog.=) a.order_id AND i.month OPERATOR(pg_catalog.=) a.month "
		"  AND i.seller_id OPERATOR(pg_catalog.=) $4))",
		4, {TEXTOID, INT8OID, INT8OID, INT8OID}, SQL_LATEST
	};
	bool		is_buyer = actor && actor->id != 0 && actor->kind == ACTOR_KIND_BUYER;
	bool		is_seller = actor && actor->id != 0 && actor->kind == ACTOR_KIND_SELLER;
	char		nulls[] = {' ', ' ', is_buyer ? ' ' : 'n', is_seller ? ' ' : 'n', '\0'};
	int64		actor_id = actor ? actor->id : 0;
	SqlResult	row = sql_query_with_nulls(&find, SQL_ARGS(CStringGetTextDatum(entity), Int64GetDatum(id),
														   Int64GetDatum(actor_id), Int64GetDatum(actor_id)), nulls);

	if (!result_next(&row))
		raise_not_found(entity, id);
	raise_error(ERROR_INVALID_STATE_TRANSITION, D_TEXT("entity", entity), D_INT("id", id),
				D_TEXT("archived_at", calendar_time_text(result_time(&row, "archived_at"))), D_REASON(REASON_ARCHIVED));
}

bool
archive_knows_success(int64 order_id, text *provider_event_id)
{
	static SqlStatement find = {
		"SELECT FROM commerce_private.archived a WHERE a.order_id OPERATOR(pg_catalog.=) $1 "
		"AND $2 OPERATOR(pg_catalog.=) ANY (a.succeeded)",
		2, {INT8OID, TEXTOID}, SQL_LATEST
	};

	return sql_exists(&find, SQL_ARGS(Int64GetDatum(order_id), PointerGetDatum(provider_event_id)));
}

void
archive_note_success(int64 order_id, text *provider_event_id)
{
	static SqlStatement note = {
		"UPDATE commerce_private.archived AS a SET succeeded = a.succeeded OPERATOR(pg_catalog.||) $2 "
		"WHERE a.order_id OPERATOR(pg_catalog.=) $1",
		2, {INT8OID, TEXTOID}
	};

	(void) sql_do(&note, SQL_ARGS(Int64GetDatum(order_id), PointerGetDatum(provider_event_id)));
}
