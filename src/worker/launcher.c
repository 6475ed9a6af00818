/*
 * launcher.c
 *	  The background workers "commerce maintenance": what has to be done soon, and by nobody's call.
 *
 * A launcher, which is connected to no database, and for each database in which something happens a
 * worker (worker.c) that the launcher starts.  A worker goes on as long as there is something to do, lingers
 * for a moment, and ends; so a shop at night costs nothing, and a connected worker does not for long keep a
 * database from being dropped or used as a template.  No rule of the shop depends on a worker: they
 * fold, free and wake.
 *
 * A database becomes known by the first commit of an operation in it.  At its start the launcher sends a
 * worker once to every database that can be connected to, except templates, to see what a stop of the
 * server left undone; one that finds no commerce there ends at once.
 *
 * A slot is given up when a worker finds no commerce, or its database is no longer there: looked for when
 * a worker is wanted, and when another database wants a slot and there is none.  That other gets one as soon as
 * one is free; until then the log says once that it has none.
 *
 * A worker that fails ends with an error; the launcher starts the next one after a pause.  The launcher
 * itself is started again by the postmaster.  On a standby neither runs, until it is promoted.
 */
#include "postgres.h"

#include <limits.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "worker/launcher.h"
#include "worker/slot.h"

PGDLLEXPORT void commerce_launcher_main(Datum arg);

/* What the launcher knows of a slot's worker. */
typedef struct Launch
{
	BackgroundWorkerHandle *handle; /* NULL: none was started */
	TimestampTz not_before;
} Launch;

void
launcher_init(void)
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
launcher_exit(int code, Datum arg)
{
	slot_set_process(NULL, NO_PROCESS);
}

/* Calls a function for each database that can be connected to. */
static void
for_each_database(void (*call) (Form_pg_database database, void *arg), void *arg)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		/* a limit below -1: its DROP DATABASE was interrupted */
		if (row->datallowconn && row->datconnlimit >= -1)
			call(row, arg);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

static void
make_due(Form_pg_database database, void *arg)
{
	Slot	   *slot = database->datistemplate ? NULL : slot_find(database->oid);

	if (slot)
		slot->due = GetCurrentTimestamp();
}

typedef struct Search
{
	Oid			database;
	char		name[NAMEDATALEN];	/* empty: not found */
} Search;

static void
compare_database(Form_pg_database database, void *arg)
{
	Search	   *search = arg;

	if (database->oid == search->database)
		strlcpy(search->name, NameStr(database->datname), NAMEDATALEN);
}

/* Looks for a database that can be connected to. */
static bool
find_database(Oid database, char *name)
{
	Search		search = {database, ""};

	for_each_database(compare_database, &search);
	if (name)
		strlcpy(name, search.name, NAMEDATALEN);
	return search.name[0] != '\0';
}

static bool
start_worker(int number, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker = {0};
	Slot	   *slot = slot_number(number);

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(number);
	memcpy(worker.bgw_extra, &slot->database, sizeof(Oid));
	strlcpy(worker.bgw_library_name, "commerce", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "commerce_worker_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "commerce maintenance of database %u", slot->database);
	strlcpy(worker.bgw_type, "commerce maintenance", sizeof(worker.bgw_type));
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* Takes notice that a slot's worker has ended. */
static void
note_end(Slot *slot, Launch *launch)
{
	TimestampTz now = GetCurrentTimestamp();

	pfree(launch->handle);
	launch->handle = NULL;
	if (slot->due == FAILED)
		launch->not_before = TimestampTzPlusMilliseconds(now, PAUSE_MS);
	else if (slot->kept_out != KEPT_OUT_NOT)
		launch->not_before = slot->due;
	if (slot->unused && pg_atomic_read_u32(&slot->news) == 0)
		slot_free(slot);
}

/* Starts a slot's worker if one is wanted, and returns in how many ms the launcher should look again. */
static long
look_after_slot(int number, Launch *launch)
{
	Slot	   *slot = slot_number(number);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz wanted;
	pid_t		pid;

	if (launch->handle != NULL)
	{
		/* the postmaster tells us when it ends */
		if (GetBackgroundWorkerPid(launch->handle, &pid) != BGWH_STOPPED)
			return LONG_MAX;
		note_end(slot, launch);
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

	if (!find_database(slot->database, NULL))
	{
		slot_free(slot);
		return LONG_MAX;
	}
	slot->unused = false;
	if (start_worker(number, &launch->handle))
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

/* Gives up the slots of databases that are no longer there. */
static void
free_slots(const Launch *launches)
{
	Slot	   *slot;

	for (int i = 0; (slot = slot_number(i)) != NULL; i++)
		if (slot->database != InvalidOid && launches[i].handle == NULL && slot->process == NO_PROCESS &&
			!find_database(slot->database, NULL))
			slot_free(slot);
}

/* Gives databases that had no slot one, if there is one now; else says so, once. */
static long
look_after_outsiders(const Launch *launches)
{
	Oid			database;
	bool	   *logged;

	if (slot_outsider(0, &logged) == InvalidOid)
		return LONG_MAX;
	free_slots(launches);
	for (int i = 0; (database = slot_outsider(i, &logged)) != InvalidOid;)
	{
		char		name[NAMEDATALEN];
		Slot	   *slot = find_database(database, name) ? slot_find(database) : NULL;

		if (slot != NULL)
			slot->due = GetCurrentTimestamp();
		if (slot != NULL || name[0] == '\0')
		{
			slot_forget_outsider(database);
			continue;
		}
		if (!*logged)
			ereport(LOG,
					(errmsg("database \"%s\" has no commerce maintenance worker", name),
					 errhint("Consider raising commerce.maintenance_databases.")));
		*logged = true;
		i++;
	}
	return PAUSE_MS;
}

void
commerce_launcher_main(Datum arg)
{
	Launch	   *launches = MemoryContextAllocZero(TopMemoryContext, commerce_maintenance_databases * sizeof(Launch));

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(launcher_exit, (Datum) 0);
	slot_set_process(NULL, my_proc_number());

	ereport(LOG,
			(errmsg("commerce maintenance launcher started")));
	for_each_database(make_due, NULL);
	while (!ShutdownRequestPending)
	{
		long		next = look_after_outsiders(launches);

		next = Min(next, 60 * 60 * 1000);
		for (int i = 0; slot_number(i) != NULL; i++)
		{
			long		wanted = look_after_slot(i, &launches[i]);

			next = Min(next, wanted);
		}
		slot_sleep(next, WL_LATCH_SET);
	}

	ereport(LOG,
			(errmsg("commerce maintenance launcher stops")));

	/* to be started again, unless the server is stopped */
	proc_exit(1);
}
