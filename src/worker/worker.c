/*
 * worker.c
 *	  The background workers "commerce maintenance": what has to be done soon, and by nobody's call.
 *
 * A launcher, which is connected to no database, and for each database in which something happens a
 * worker that the launcher starts.  A worker goes on as long as there is something to do, lingers for a
 * moment, and ends; so a shop at night costs nothing, and a connected worker does not for long keep a
 * database from being dropped or used as a template.  No rule of the shop depends on a worker: they
 * fold, free and wake.
 *
 * A database becomes known by the first commit of an operation in it.  At its start the launcher sends a
 * worker once to every database that can be connected to, except templates, to see what a stop of the
 * server left undone; one that finds no commerce there ends at once.
 *
 * Shared memory has a slot per database.  A commit sets the slot's news and, only if it was not set,
 * wakes the worker, or the launcher when there is none.  A worker takes the news away before it looks at
 * the tables, so that nothing is overlooked; when it ends, the launcher sees news that came too late.
 * Processes are known by their number, never by a pointer.
 *
 * A slot is given up when a worker finds no commerce, or is wanted in a database that is no longer there.
 * A database for which there is none, at the launcher's start or at a commit, gets no worker; the next
 * commit there looks again.
 *
 * A worker that fails ends with an error; the launcher starts the next one after a pause.  The launcher
 * itself is started again by the postmaster.  On a standby neither runs, until it is promoted.
 *
 * Each task of a worker is a transaction of its own, so that one that fails does not keep back the others.
 * What else is to be done every second belongs into the loop of commerce_worker_main(), by run_task().
 */
#include "postgres.h"

#include <limits.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/sql.h"
#include "escrow/counters.h"
#include "escrow/fold.h"
#include "worker/worker.h"

#define SLOTS			64		/* databases that can have a worker */
#define NAP_MS			20		/* relays are woken at most this often */
#define LINGER_MS		2000	/* how long a worker stays when nothing happens */
#define PAUSE_MS		5000	/* before a worker is started after a failed one */
#define EXPIRY_GRACE_MS	5000	/* how long an order may be overdue before a worker ends it */
#define SWEEP_MS		60000	/* everything is folded at least this often */
#define FOLD_LEAST		100		/* transactions that make a resource worth a fold before that */
#define NO_PROCESS		(-1)
#define NEVER			DT_NOEND	/* until there is news */
#define FAILED			DT_NOBEGIN	/* what a worker that has ended well has overwritten */

PGDLLEXPORT void commerce_launcher_main(Datum arg);
PGDLLEXPORT void commerce_worker_main(Datum arg);

typedef struct Slot
{
	Oid			database;		/* InvalidOid: free; set under the mutex */
	pg_atomic_uint32 news;		/* something was committed since a worker looked */
	int			process;		/* number of its worker's process */
	TimestampTz due;			/* when a worker is wanted though nothing happens; or NEVER or FAILED */

	/* the worker's own */
	bool		unused;			/* no commerce here */
	bool		fold_all;		/* not everything has been folded since these were: */
	uint64		folded_generation;
	uint64		folded_lost;
} Slot;

typedef struct WorkerState
{
	slock_t		mutex;
	int			launcher;		/* number of its process */
	Slot		slots[SLOTS];
} WorkerState;

static WorkerState *state = NULL;
static Slot *my_slot = NULL;	/* of this backend's database */

void
worker_request_memory(void)
{
	RequestAddinShmemSpace(sizeof(WorkerState));
}

void
worker_start_memory(void)
{
	bool		found;

	state = ShmemInitStruct("commerce maintenance", sizeof(WorkerState), &found);
	if (!found)
	{
		memset(state, 0, sizeof(WorkerState));
		SpinLockInit(&state->mutex);
		state->launcher = NO_PROCESS;
		for (int i = 0; i < SLOTS; i++)
		{
			pg_atomic_init_u32(&state->slots[i].news, 0);
			state->slots[i].process = NO_PROCESS;
		}
	}
}

void
worker_init(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = PAUSE_MS / 1000;
	strlcpy(worker.bgw_library_name, "commerce", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "commerce_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "commerce maintenance launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "commerce maintenance launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

static void
wake_process(int process)
{
	if (process != NO_PROCESS)
		SetLatch(&GetPGProcByNumber(process)->procLatch);
}

/* A database's slot; makes one if there is room, else returns NULL.  Does not throw. */
static Slot *
find_slot(Oid database)
{
	Slot	   *free_slot = NULL;
	Slot	   *found = NULL;

	SpinLockAcquire(&state->mutex);
	for (int i = 0; i < SLOTS && found == NULL; i++)
	{
		Slot	   *slot = &state->slots[i];

		if (slot->database == database)
			found = slot;
		else if (slot->database == InvalidOid && free_slot == NULL)
			free_slot = slot;
	}
	if (found == NULL && free_slot != NULL)
	{
		found = free_slot;
		found->fold_all = true;
		found->due = NEVER;
		pg_atomic_write_u32(&found->news, 0);
		found->database = database;
	}
	SpinLockRelease(&state->mutex);
	return found;
}

/* Under no lock: the caller knows that no worker has it. */
static void
free_slot(Slot *slot)
{
	SpinLockAcquire(&state->mutex);
	slot->database = InvalidOid;
	SpinLockRelease(&state->mutex);
}

void
worker_wake(void)
{
	int			process;

	if (state == NULL)
		return;
	if (my_slot == NULL || my_slot->database != MyDatabaseId)
		my_slot = find_slot(MyDatabaseId);
	if (my_slot == NULL || pg_atomic_exchange_u32(&my_slot->news, 1) != 0)
		return;
	SpinLockAcquire(&state->mutex);
	process = my_slot->process != NO_PROCESS ? my_slot->process : state->launcher;
	SpinLockRelease(&state->mutex);
	wake_process(process);
}

static void
start_process(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

/* Sleeps until the latch is set, at most for timeout ms, and reads the configuration if it has changed. */
static void
sleep_until_woken(long timeout, int events)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = new_wait_event("CommerceMaintenance");
	pgstat_report_activity(STATE_IDLE, NULL);
	(void) WaitLatch(MyLatch, events | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout, wait_event);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * The launcher
 */

static void
launcher_exit(int code, Datum arg)
{
	SpinLockAcquire(&state->mutex);
	state->launcher = NO_PROCESS;
	SpinLockRelease(&state->mutex);
}

/*
 * Looks for a database that can be connected to; with database = InvalidOid makes all of those that are
 * no templates due.
 */
static bool
look_for_database(Oid database, bool all_due)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		/* a limit below -1: its DROP DATABASE was interrupted */
		if (!row->datallowconn || row->datconnlimit < -1)
			continue;
		if (row->oid == database)
			found = true;
		if (all_due && !row->datistemplate)
		{
			Slot	   *slot = find_slot(row->oid);

			if (slot)
				slot->due = GetCurrentTimestamp();
		}
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return found;
}

static bool
start_worker(Slot *slot, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum((int32) (slot - state->slots));
	memcpy(worker.bgw_extra, &slot->database, sizeof(Oid));
	strlcpy(worker.bgw_library_name, "commerce", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "commerce_worker_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "commerce maintenance of database %u", slot->database);
	strlcpy(worker.bgw_type, "commerce maintenance", sizeof(worker.bgw_type));
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* What the launcher knows of a slot's worker. */
typedef struct Launch
{
	BackgroundWorkerHandle *handle; /* NULL: none was started */
	TimestampTz not_before;
} Launch;

/* Starts a slot's worker if one is wanted, and returns in how many ms the launcher should look again. */
static long
look_after_slot(Slot *slot, Launch *launch)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz wanted;
	pid_t		pid;

	if (launch->handle != NULL)
	{
		/* the postmaster tells us when it ends */
		if (GetBackgroundWorkerPid(launch->handle, &pid) != BGWH_STOPPED)
			return LONG_MAX;
		pfree(launch->handle);
		launch->handle = NULL;
		if (slot->due == FAILED)
			launch->not_before = TimestampTzPlusMilliseconds(now, PAUSE_MS);
		if (slot->unused && pg_atomic_read_u32(&slot->news) == 0)
			free_slot(slot);
	}
	if (slot->database == InvalidOid)
		return LONG_MAX;

	/* of a launcher before this one: nobody tells us */
	if (slot->process != NO_PROCESS)
		return PAUSE_MS;

	wanted = pg_atomic_read_u32(&slot->news) != 0 ? now : slot->due;
	wanted = Max(wanted, launch->not_before);
	if (wanted > now)
		return wanted == NEVER ? LONG_MAX : TimestampDifferenceMilliseconds(now, wanted) + 1;

	if (!look_for_database(slot->database, false))
	{
		free_slot(slot);
		return LONG_MAX;
	}
	slot->unused = false;
	if (start_worker(slot, &launch->handle))
	{
		slot->due = FAILED;
		return LONG_MAX;
	}
	ereport(LOG,
			(errmsg("could not start a commerce maintenance worker"),
			 errhint("Consider raising max_worker_processes.")));
	launch->not_before = TimestampTzPlusMilliseconds(now, PAUSE_MS);
	return PAUSE_MS;
}

void
commerce_launcher_main(Datum arg)
{
	Launch		launches[SLOTS] = {0};

	start_process();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(launcher_exit, (Datum) 0);
	SpinLockAcquire(&state->mutex);
	state->launcher = my_proc_number();
	SpinLockRelease(&state->mutex);

	look_for_database(InvalidOid, true);
	for (;;)
	{
		long		next = 60 * 60 * 1000;

		for (int i = 0; i < SLOTS; i++)
			next = Min(next, look_after_slot(&state->slots[i], &launches[i]));
		sleep_until_woken(next, WL_LATCH_SET);
	}
}

/*
 * A database's worker
 */

static void
worker_exit(int code, Datum arg)
{
	SpinLockAcquire(&state->mutex);
	my_slot->process = NO_PROCESS;
	SpinLockRelease(&state->mutex);
}

/* Whether commerce is in this database and was used in this cluster; found out at each task. */
static bool in_use = true;

static void
look_for_commerce(void)
{
	static SqlStatement find_origin = {"SELECT FROM commerce_private.origin o LIMIT 1", 0, {0}};

	Oid			extension = get_extension_oid("commerce", true);

	in_use = false;
	if (!OidIsValid(extension))
		return;

	/* keeps DROP EXTENSION out for the rest of the task */
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	if (get_extension_oid("commerce", true) != extension)
		return;
	in_use = sql_exists(&find_origin, NULL);
}

/*
 * Runs a task in a transaction, which is rolled back when the task returns false, or fails, which is logged.
 * Returns whether it was not.
 */
static bool
run_task(const char *name, bool (*task) (void))
{
	volatile bool done = false;

	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, name);
	PG_TRY();
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		look_for_commerce();
		done = !in_use || task();
		PopActiveSnapshot();
		if (done)
			CommitTransactionCommand();
		else
			AbortCurrentTransaction();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		done = false;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	pgstat_report_stat(true);
	return done;
}

static bool
wake_relays(void)
{
	static SqlStatement notify = {
		"SELECT commerce_private.wake_relay() WHERE EXISTS (SELECT FROM commerce.subscriptions)", 0, {0}
	};

	sql_do(&notify, NULL);
	return true;
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
		if (!run_task("folding everything", fold_try_all))
			return;
		my_slot->fold_all = false;
	}
	fold_least = thorough ? 1 : FOLD_LEAST;
	unfolded = my_slot->fold_all;
	my_slot->fold_all = true;
	if (run_task("folding", fold_what_is_worth_it))
		my_slot->fold_all = unfolded;
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
	start_process();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	set_no_transaction_timeout();
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	my_slot = &state->slots[DatumGetInt32(arg)];
	before_shmem_exit(worker_exit, (Datum) 0);
	SpinLockAcquire(&state->mutex);
	my_slot->process = my_proc_number();
	SpinLockRelease(&state->mutex);

	last_news = last_sweep = GetCurrentTimestamp();
	while (in_use)
	{
		bool		news = pg_atomic_exchange_u32(&my_slot->news, 0) != 0;
		bool		leaving;

		now = GetCurrentTimestamp();
		if (news)
		{
			last_news = now;
			(void) run_task("waking relays", wake_relays);
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
		if (leaving && pg_atomic_read_u32(&my_slot->news) == 0)
			break;

		if (news)
			sleep_until_woken(NAP_MS, 0);
		else
			sleep_until_woken(commerce_maintenance_interval > 0 ? Min(commerce_maintenance_interval, LINGER_MS) : LINGER_MS,
							  WL_LATCH_SET);
	}

	/* what could not be done yet is tried again */
	now = GetCurrentTimestamp();
	my_slot->unused = !in_use;
	my_slot->due = NEVER;
	if (!in_use || commerce_maintenance_interval == 0)
		return;
	my_slot->due = Max(next_expiry, TimestampTzPlusMilliseconds(now, commerce_maintenance_interval));
	if (!finished || my_slot->fold_all)
		my_slot->due = Min(my_slot->due, TimestampTzPlusMilliseconds(now, SWEEP_MS));
}
