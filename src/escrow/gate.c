/*
 * gate.c
 *	  The gate between the extension's operations and everybody else's writes, and the origin of the
 *	  transaction ids in the journals.
 *
 * The gate is the lock on the table commerce_private.gate, which never holds a row.  Each operation takes it
 * ROW EXCLUSIVE before anything else, which conflicts with no other operation and takes the lock
 * manager's fast path.  A write to a journal or a narrow row that does not come from us (a DBA's
 * UPDATE, a restore's COPY, logical replication's apply), and the deletion of anything that orders
 * refer to, take it SHARE ROW EXCLUSIVE through triggers: it waits for running operations and keeps
 * new ones out until its transaction has ended.
 *
 * An operation first finds out whose the transaction ids in the journals are (origin.c).  When they are this
 * cluster's, but its history may have been cut, it begins a new era.  This holds the gate SHARE ROW EXCLUSIVE,
 * and is committed or rolled back with the operation.  When they are another cluster's, the operation is
 * refused until they have been made this one's, which the maintenance worker then begins with.
 *
 * Our own updates are told from foreign ones by the depth of triggers: a trigger of the gate that fires for
 * a statement of gate_own_write() stands directly below it, one that fires for what somebody's trigger
 * writes meanwhile stands deeper.
 *
 * After a foreign write its own transaction reads the journals instead of counters (gate_foreign()), and
 * at its commit, when the rows are visible and the gate is still held, this database's counters become
 * stale.  A foreign writer may be prepared: the gate goes with the prepared transaction, so that they can
 * become stale before it.  What has called an operation cannot be prepared: it would hold the gate for as long
 * as nobody remembers it, and after a promotion its events would come into an era that is closed.
 *
 * A backend that has found the origin to be its cluster's believes that until a foreign writer, of whom a
 * rebase is one, has committed.  It hears of that as of a change of the gate's definition: such news comes
 * before the writer's locks go, and who gets the gate's lock has had it.
 *
 * Lock order of every operation: gate, idempotency key (or the id of a provider's event), the order
 * sheet's row, the user's row, the order's row, coupons by id, products by id.  An order that needs overdue
 * ones to be ended waits for them between the sheet and its user (make_way.c).
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/news.h"
#include "base/sql.h"
#include "base/version.h"
#include "escrow/counters.h"
#include "escrow/gate.h"
#include "escrow/origin.h"

PG_FUNCTION_INFO_V1(commerce_begin_write);
PG_FUNCTION_INFO_V1(commerce_gate_foreign_write);
PG_FUNCTION_INFO_V1(commerce_close_gate);
PG_FUNCTION_INFO_V1(commerce_open_era);

/*
 * The gate of the database whose origin this backend has found to be ours, or InvalidOid; the outbox's era;
 * and the gate by which it hears that it must look again.
 */
static Oid	known_gate = InvalidOid;
static int64 known_era = 0;
static Oid	watched_gate = InvalidOid;
static bool rebased = false;	/* by the running transaction */

/* The outermost level at which the running transaction has written past the extension; 0: it has not. */
static int	foreign_level = 0;

static bool entered = false;	/* the running transaction has called an operation */
static int	own_write_depth = 0;	/* of triggers that fire for our own write; 0: there is none */
static bool callbacks_registered = false;

static void
forget_on_abort(void)
{
	if (rebased)
		known_gate = InvalidOid;
}

static void
gate_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (entered)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has called an operation of commerce")));
			pg_fallthrough;
		case XACT_EVENT_COMMIT:
			if (foreign_level > 0)
				counters_make_stale();
			if (event == XACT_EVENT_COMMIT && entered && TransactionIdIsValid(GetTopTransactionIdIfAny()))
				news_tell(NEWS_WRITTEN);
			break;
		case XACT_EVENT_ABORT:
			forget_on_abort();
			break;
		default:
			break;
	}
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		rebased = false;
		foreign_level = 0;
		entered = false;
	}
}

static void
gate_subxact_callback(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB && foreign_level == level)
		foreign_level = level - 1;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		forget_on_abort();
		if (foreign_level >= level)
			foreign_level = 0;
	}
}

/* A relation's definition has changed, or (InvalidOid) any may have. */
static void
gate_relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == watched_gate)
		known_gate = watched_gate = InvalidOid;
}

/* What may run out of memory comes first: a callback that is there twice does no harm, but the relcache has few. */
static void
register_callbacks(void)
{
	if (callbacks_registered)
		return;
	RegisterXactCallback(gate_xact_callback, NULL);
	RegisterSubXactCallback(gate_subxact_callback, NULL);
	CacheRegisterRelcacheCallback(gate_relcache_callback, (Datum) 0);
	callbacks_registered = true;
}

/*
 * Keeps everybody else out until the transaction has ended, after which counters are stale and every backend
 * looks at the origin again.
 */
static void
close_gate(void)
{
	int			level = GetCurrentTransactionNestLevel();
	Oid			gate;

	if (foreign_level > 0 && foreign_level <= level)
		return;
	register_callbacks();
	gate = catalog_relation(TABLE_GATE);
	LockRelationOid(gate, ShareRowExclusiveLock);
	CacheInvalidateRelcacheByRelid(gate);
	foreign_level = level;
}

/* Makes the origin ours, in a new era. */
static void
change_origin(void (*change) (void))
{
	close_gate();
	change();
	rebased = true;
	if (origin_read(&known_era) != ORIGIN_OURS)
		elog(ERROR, "the origin of the journals was not recorded");
}

void
gate_refuse_foreign(void)
{
	news_tell(NEWS_ASKED);
	raise_error_hint(ERROR_SERVICE_BUSY,
					 "What was restored or replicated here is being made this server's own. Without the maintenance "
					 "worker, or to wait for it: SELECT commerce.prepare_after_restore().",
					 D_REASON(REASON_DATA_OF_ANOTHER_SERVER));
}

/* Makes the origin ours unless somebody else does it. */
static void
settle_origin(Oid gate)
{
	LockRelationOid(gate, ShareRowExclusiveLock);
	switch (origin_read(&known_era))
	{
		case ORIGIN_OURS:
			break;
		case ORIGIN_CUT:
			change_origin(origin_open_era);
			break;
		case ORIGIN_NONE:
			change_origin(origin_record);
			break;
		case ORIGIN_FOREIGN:
		case ORIGIN_REBASING:
			gate_refuse_foreign();
	}
}

bool
gate_needs_rebase(bool *begun)
{
	int64		era;
	OriginState state = origin_read(&era);

	*begun = (state == ORIGIN_REBASING);
	return state == ORIGIN_FOREIGN || state == ORIGIN_REBASING;
}

bool
gate_rebase_batch(char **done)
{
	int64		era;

	*done = "beginning";
	close_gate();
	switch (origin_read(&era))
	{
		case ORIGIN_FOREIGN:
			origin_begin_rebase();
			return true;
		case ORIGIN_REBASING:
			*done = origin_rebase_batch();
			return *done != NULL;
		case ORIGIN_OURS:
		case ORIGIN_CUT:
			if (!origin_marks_are_ahead())
				return false;
			origin_begin_rebase();
			return true;
		case ORIGIN_NONE:
			break;
	}
	return false;
}

bool
gate_foreign(void)
{
	return foreign_level > 0;
}

/* Finds out whose the transaction ids are, unless it is known, and makes them ours. */
static void
check_origin(Oid gate)
{
	if (known_gate == gate)
		return;
	register_callbacks();
	known_gate = InvalidOid;
	watched_gate = gate;
	switch (origin_read(&known_era))
	{
		case ORIGIN_OURS:
			break;
		case ORIGIN_CUT:
		case ORIGIN_NONE:
			settle_origin(gate);
			break;
		case ORIGIN_FOREIGN:
		case ORIGIN_REBASING:
			gate_refuse_foreign();
	}
	/* InvalidOid if a foreign writer has committed meanwhile */
	known_gate = watched_gate;
}

static void
refuse_if_read_only(const char *operation)
{
	PreventCommandIfReadOnly(operation);
	PreventCommandIfParallelMode(operation);
	PreventCommandDuringRecovery(operation);
}

void
gate_enter(const char *operation)
{
	uint64		updates = version_updates();
	Oid			gate;

	refuse_if_read_only(operation);

	/* without the lock, because two who have it, and rebase, would block each other */
	gate = catalog_relation(TABLE_GATE);
	check_origin(gate);
	LockRelationOid(gate, RowExclusiveLock);
	while (known_gate != gate)
	{
		UnlockRelationOid(gate, RowExclusiveLock);
		version_require();
		check_origin(gate);
		LockRelationOid(gate, RowExclusiveLock);
	}
	/* the statement that calls us was planned for rows of the version before */
	if (updates != version_updates())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("extension \"commerce\" was updated while this call waited"),
				 errhint("Repeat the call.")));
	entered = true;
}

int64
gate_era(void)
{
	if (!OidIsValid(known_gate))
		check_origin(catalog_relation(TABLE_GATE));
	return known_era;
}

static int
trigger_depth(void)
{
	return DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH));
}

SqlResult
gate_own_write(SqlStatement *statement, const Datum *values)
{
	int			outer = own_write_depth;
	SqlResult	rows;

	own_write_depth = trigger_depth() + 1;
	PG_TRY();
	{
		rows = sql_query(statement, values);
	}
	PG_FINALLY();
	{
		own_write_depth = outer;
	}
	PG_END_TRY();
	return rows;
}

bool
gate_is_own_write(void)
{
	return own_write_depth == trigger_depth();
}

/*
 * begin_write()
 *
 * gate_enter() for the functions that are written in SQL.
 */
Datum
commerce_begin_write(PG_FUNCTION_ARGS)
{
	gate_enter("this operation");
	PG_RETURN_VOID();
}

/*
 * gate_foreign_write()
 *
 * Trigger, before a row or a statement: keeps orders out while somebody else writes.
 */
Datum
commerce_gate_foreign_write(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "gate_foreign_write must be called as a trigger");
	if (!gate_is_own_write())
		close_gate();
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		PG_RETURN_POINTER(NULL);
	PG_RETURN_POINTER(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
					  trigger->tg_newtuple : trigger->tg_trigtuple);
}

/*
 * close_gate()
 *
 * What a foreign write does: keeps orders out until this transaction has ended, and makes this database's
 * counters stale once it has committed.
 */
Datum
commerce_close_gate(PG_FUNCTION_ARGS)
{
	close_gate();
	PG_RETURN_VOID();
}

/*
 * open_era()
 *
 * What is done by itself when history may have been cut, for a copy that cannot be told from what it is a
 * copy of; returns the era.
 */
Datum
commerce_open_era(PG_FUNCTION_ARGS)
{
	refuse_if_read_only("open_era()");
	settle_origin(catalog_relation(TABLE_GATE));
	change_origin(origin_open_era);
	entered = true;
	PG_RETURN_INT64(known_era);
}
