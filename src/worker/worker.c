/*
 * worker.c
 *	  A database's worker: folds, ends what is overdue, wakes relays, and goes when nothing happens.
 *
 * Each task is a transaction of its own, so that one that fails does not keep back the others.
 * What else is to be done every second belongs into the loop of commerce_worker_main(), by run_task().
 *
 * A worker that is told to end cancels what it does, and ends without an error: a shutdown is none.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/sql.h"
#include "escrow/counters.h"
#include "escrow/fold.h"
#include "escrow/gate.h"
#include "escrow/origin.h"
#include "events/outbox.h"
#include "worker/slot.h"

#define NAP_MS			20		/* relays are woken at most this often */
#define LOOK_MS			1000	/* how old may be what is known of the database when no table is looked at */
#define LINGER_MS		2000	/* how long a worker stays when nothing happens */
#define EXPIRY_GRACE_MS	5000	/* how long an order may be overdue before a worker ends it */
#define SWEEP_MS		60000	/* everything is folded at least this often */
#define KEPT_OUT_MS		10000	/* before it looks again whether it is still kept out */
#define FOLD_LEAST		100		/* transactions that make a resource worth a fold before that */

PGDLLEXPORT void commerce_worker_main(Datum arg);

static Slot *my_slot;

static void
worker_exit(int code, Datum arg)
{
	slot_set_process(my_slot, NO_PROCESS);
}

static volatile sig_atomic_t in_task = false;

/* Ends the task that is being done, by an error that run_task() catches. */
static void
handle_stop(SIGNAL_ARGS)
{
	int			save_errno = errno;

	ShutdownRequestPending = true;
	if (in_task)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = save_errno;
}

/* Whether commerce is in this database, was used, and is the worker's to write; found out at each task but waking. */
static bool in_use = true;

/* Whether there is a subscription, so that a relay may wait for events; found out then, too. */
static bool relays_wait = false;
static TimestampTz last_look = 0;

/* Whether what is here came from another cluster, and this worker is the one to begin with making it ours. */
static bool needs_rebase = false;
static bool rebase_is_wanted = false;

/* Says in the log that the worker works here, once per start of the server, or that from now on it does not. */
static void
log_kept_out(KeptOut before)
{
	static const char *const reasons[] = {
		[KEPT_OUT_OFF] = "commerce.maintenance is off",
		[KEPT_OUT_READ_ONLY] = "default_transaction_read_only is on",
		[KEPT_OUT_SUBSCRIBER] = "a subscription brings its orders or journals",
		[KEPT_OUT_VERSION] = "the extension there is of a version that this library does not serve",
	};
	static bool told = false;

	if (my_slot->kept_out == before && (told || my_slot->last_fold != 0 || before != KEPT_OUT_NOT))
		return;
	told = true;
	if (my_slot->kept_out == KEPT_OUT_NOT)
		ereport(LOG,
				(errmsg("commerce maintenance works in database \"%s\"", get_database_name(MyDatabaseId))));
	else
		ereport(LOG,
				(errmsg("commerce maintenance keeps out of database \"%s\": %s", get_database_name(MyDatabaseId),
						reasons[my_slot->kept_out])));
}

static bool
has_passed(TimestampTz since, int ms)
{
	return TimestampDifferenceExceeds(since, GetCurrentTimestamp(), ms);
}

static void
look_for_commerce(void)
{
	static SqlStatement find_origin = {
		"SELECT FROM commerce_private.origin o UNION ALL (SELECT FROM commerce.users u LIMIT 1) LIMIT 1", 0, {0}
	};
	static SqlStatement find_subscription = {"SELECT FROM commerce.subscriptions s LIMIT 1", 0, {0}};

	Oid			extension = get_extension_oid("commerce", true);
	KeptOut		before;

	in_use = false;
	last_look = GetCurrentTimestamp();
	if (!OidIsValid(extension))
		return;

	/* keeps DROP EXTENSION out for the rest of the task */
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	if (get_extension_oid("commerce", true) != extension)
		return;
	in_use = sql_exists(&find_origin, NULL);
	if (!in_use)
		return;
	before = my_slot->kept_out;
	my_slot->kept_out = database_keeps_out();
	log_kept_out(before);
	in_use = (my_slot->kept_out == KEPT_OUT_NOT);
	if (in_use)
	{
		bool		begun;

		needs_rebase = gate_needs_rebase(&begun);
		rebase_is_wanted = rebase_is_wanted || begun;
		relays_wait = sql_exists(&find_subscription, NULL);
	}
}

static bool
wake_relays(void)
{
	if (relays_wait)
		outbox_notify();
	return true;
}

static bool more_to_rebase;

static bool
rebase(void)
{
	char	   *done;

	more_to_rebase = gate_rebase_batch(&done);
	if (done != NULL)
		pgstat_report_activity(STATE_RUNNING, psprintf("rebasing: %s", done));
	return true;
}

/*
 * Runs a task in a transaction, which is rolled back when the task returns false, or fails, which is logged.
 * Returns whether it was not.
 */
static bool
run_task(const char *name, bool (*task) (void))
{
	volatile bool done = false;

	in_task = true;
	if (ShutdownRequestPending)
		return false;
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, name);
	PG_TRY();
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (task != wake_relays || !relays_wait || has_passed(last_look, LOOK_MS))
			look_for_commerce();
		done = !in_use || (needs_rebase && task != rebase) || task();
		PopActiveSnapshot();
		if (done)
			CommitTransactionCommand();
		else
			AbortCurrentTransaction();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		if (!ShutdownRequestPending)
			EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		done = false;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	in_task = false;
	QueryCancelPending = false;
	pgstat_report_stat(true);
	return done;
}

/*
 * When the next order is to be ended for which no payment has come; NEVER: there is none.  It is left alone
 * for a moment after its time: what needs its stock frees it itself, and an answer that is on its way, or
 * somebody who calls expire_pending_orders(), need not find it gone.
 */
static TimestampTz next_expiry = NEVER;

static void
find_next_expiry(void)
{
	static SqlStatement find = {
		"SELECT pg_catalog.min(o.expires_at) AS next FROM commerce.orders o "
		"WHERE o.status OPERATOR(pg_catalog.=) 'PENDING_PAYMENT' HAVING pg_catalog.min(o.expires_at) IS NOT NULL",
		0, {0}, SQL_LATEST
	};
	int64		next;

	next_expiry = NEVER;
	if (sql_get_int64(&find, NULL, &next))
		next_expiry = TimestampTzPlusMilliseconds(next, EXPIRY_GRACE_MS);
}

/* Whether the last task has ended some overdue orders and left others. */
static bool more_overdue = false;

/*
 * Ends overdue orders.  Attempts that were all in vain are not committed: that would be news, for which the
 * worker would stay.
 */
static bool
expire_orders(void)
{
	static SqlStatement expire = {"SELECT commerce.expire_pending_orders()::pg_catalog.int8", 0, {0}};
	int64		expired = 0;

	more_overdue = false;
	find_next_expiry();
	if (next_expiry > GetCurrentTimestamp())
		return true;
	(void) sql_get_int64(&expire, NULL, &expired);
	find_next_expiry();
	more_overdue = expired > 0 && next_expiry <= GetCurrentTimestamp();
	return expired > 0;
}

static int64 fold_least;
static bool finished = true;

static bool
fold_what_is_worth_it(void)
{
	finished = fold_try_some(fold_least);
	return true;
}

static bool
look_at_marks(void)
{
	rebase_is_wanted = rebase_is_wanted || origin_marks_are_ahead();
	return true;
}

/*
 * Makes what came from another cluster this one's, batch by batch.  Not before somebody has asked for it, by a
 * call that was refused: until then it may still be coming.
 */
static void
do_rebase(void)
{
	do
		more_to_rebase = false;
	while (run_task("rebasing", rebase) && more_to_rebase && !ShutdownRequestPending);
	rebase_is_wanted = false;
	my_slot->fold_all = true;
}

/*
 * Folds what has grown long, or, when the worker has time or a minute has passed, all there is.  What counts
 * as folded and is not, because a task was no success or the worker has died, is found by the next fold of all.
 */
static void
do_fold(bool thorough)
{
	uint64		generation = counters_generation();
	uint64		lost = counters_lost();
	bool		unfolded;

	if (my_slot->folded_generation != generation || my_slot->folded_lost != lost)
	{
		my_slot->fold_all = true;
		my_slot->folded_generation = generation;
		my_slot->folded_lost = lost;
	}
	if (thorough && my_slot->fold_all)
	{
		(void) run_task("looking at marks", look_at_marks);
		if (rebase_is_wanted)
			return;
		if (!run_task("folding everything", fold_try_all))
			return;
		my_slot->fold_all = false;
	}
	fold_least = thorough ? 1 : FOLD_LEAST;
	unfolded = my_slot->fold_all;
	my_slot->fold_all = true;
	if (!run_task("folding", fold_what_is_worth_it))
		return;
	my_slot->fold_all = unfolded;
	my_slot->last_fold = GetCurrentTimestamp();
}

/*
 * Takes the news away.  As long as no relay waits for events, that something was written is left for a while: no commit
 * wakes the worker where the mark is.
 */
static bool
take_news(TimestampTz last_news)
{
	uint32		news = pg_atomic_read_u32(&my_slot->news);

	if (news == 0 || (news == NEWS_WRITTEN && !relays_wait && last_look != 0 && !has_passed(last_news, LOOK_MS)))
		return false;
	if (pg_atomic_exchange_u32(&my_slot->news, 0) & NEWS_ASKED)
		last_look = 0;
	return true;
}

/* In ms; at least 1. */
static long
time_until(TimestampTz since, int ms)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), TimestampTzPlusMilliseconds(since, ms)) + 1;
}

/* How long the worker need not do anything, unless it is woken. */
static long
time_to_sleep(TimestampTz last_news, TimestampTz last_round)
{
	long		look = LINGER_MS;
	long		round = LINGER_MS;
	long		next;

	if (pg_atomic_read_u32(&my_slot->news) != 0)
		look = relays_wait ? 0 : time_until(last_news, LOOK_MS);
	if (commerce_maintenance_interval > 0)
		round = time_until(last_round, commerce_maintenance_interval);
	next = Min(look, round);
	return Max(next, NAP_MS);
}

void
commerce_worker_main(Datum arg)
{
	Oid			database;
	TimestampTz last_news;
	TimestampTz last_round = 0;
	TimestampTz last_sweep;
	TimestampTz now;

	memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof(Oid));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_stop);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	set_no_transaction_timeout();
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	my_slot = slot_number(DatumGetInt32(arg));
	before_shmem_exit(worker_exit, (Datum) 0);
	slot_set_process(my_slot, my_proc_number());

	last_news = last_sweep = GetCurrentTimestamp();
	while (in_use && !ShutdownRequestPending)
	{
		bool		news = take_news(last_news);
		bool		leaving;

		now = GetCurrentTimestamp();
		if (news)
		{
			last_news = now;
			(void) run_task("waking relays", wake_relays);
			rebase_is_wanted = rebase_is_wanted || needs_rebase;
		}
		leaving = TimestampDifferenceExceeds(last_news, now, LINGER_MS);
		if (commerce_maintenance_interval > 0 &&
			(leaving || TimestampDifferenceExceeds(last_round, now, commerce_maintenance_interval)))
		{
			bool		sweep = leaving || TimestampDifferenceExceeds(last_sweep, now, SWEEP_MS);

			(void) run_task("expiring orders", expire_orders);
			do_fold(sweep);
			last_round = more_overdue ? 0 : now;
			if (sweep)
				last_sweep = now;
		}
		if (in_use && rebase_is_wanted)
		{
			do_rebase();
			continue;
		}
		if (leaving && pg_atomic_read_u32(&my_slot->news) == 0)
			break;

		if (news)
			slot_sleep(NAP_MS, 0);
		else
			slot_sleep(time_to_sleep(last_news, last_round), WL_LATCH_SET);
	}

	/* the next one is started as after a failure */
	if (ShutdownRequestPending)
	{
		ereport(LOG,
				(errmsg("a commerce maintenance worker has been told to stop")));
		return;
	}

	/* what could not be done yet is tried again */
	now = GetCurrentTimestamp();
	if (my_slot->kept_out != KEPT_OUT_NOT)
	{
		my_slot->due = TimestampTzPlusMilliseconds(now, KEPT_OUT_MS);
		return;
	}
	my_slot->unused = !in_use;
	my_slot->due = NEVER;
	if (!in_use || commerce_maintenance_interval == 0)
		return;
	my_slot->due = Max(next_expiry, TimestampTzPlusMilliseconds(now, commerce_maintenance_interval));
	if (!finished || my_slot->fold_all)
		my_slot->due = Min(my_slot->due, TimestampTzPlusMilliseconds(now, SWEEP_MS));
}
