/*
 * slot.c
 *	  What launcher, workers and sessions tell each other: a slot of shared memory for each database.
 *
 * A commit sets the news of its database's slot and, only if it was not set, wakes the worker, or the launcher
 * when there is none.  A worker takes the news away before it looks at the tables, so that nothing is
 * overlooked, and leaves it as long as it need not hear of more; when it ends, the launcher sees news that came too
 * late.  Processes are known by their number, never by a pointer.
 *
 * A database for which there is no slot is an outsider: it is noted, as far as there is room, and the launcher
 * gives it a slot as soon as one is free.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/guc.h"
#include "worker/slot.h"

#define OUTSIDERS	64

PG_FUNCTION_INFO_V1(commerce_maintenance_slots);

typedef struct Outsider
{
	Oid			database;
	bool		logged;
} Outsider;

typedef struct WorkerState
{
	slock_t		mutex;
	int			launcher;		/* number of its process */
	int			noutsiders;
	Outsider	outsiders[OUTSIDERS];
	int			nslots;
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
} WorkerState;

static WorkerState *state = NULL;

static Size
memory_size(void)
{
	return add_size(offsetof(WorkerState, slots), mul_size(commerce_maintenance_databases, sizeof(Slot)));
}

void
slot_request_memory(void)
{
	RequestAddinShmemSpace(memory_size());
}

void
slot_start_memory(void)
{
	bool		found;

	state = ShmemInitStruct("commerce maintenance", memory_size(), &found);
	if (found)
		return;
	memset(state, 0, memory_size());
	SpinLockInit(&state->mutex);
	state->launcher = NO_PROCESS;
	state->nslots = commerce_maintenance_databases;
	for (int i = 0; i < state->nslots; i++)
	{
		pg_atomic_init_u32(&state->slots[i].news, 0);
		state->slots[i].process = NO_PROCESS;
	}
}

Slot *
slot_number(int number)
{
	return number < state->nslots ? &state->slots[number] : NULL;
}

Slot *
slot_find(Oid database)
{
	Slot	   *free_slot = NULL;
	Slot	   *found = NULL;

	SpinLockAcquire(&state->mutex);
	for (int i = 0; i < state->nslots && found == NULL; i++)
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
		found->kept_out = KEPT_OUT_NOT;
		found->unused = false;
		found->last_fold = 0;
		found->due = NEVER;
		pg_atomic_write_u32(&found->news, 0);
		found->database = database;
	}
	SpinLockRelease(&state->mutex);
	return found;
}

void
slot_free(Slot *slot)
{
	SpinLockAcquire(&state->mutex);
	slot->database = InvalidOid;
	SpinLockRelease(&state->mutex);
}

void
slot_set_process(Slot *slot, int process)
{
	SpinLockAcquire(&state->mutex);
	*(slot ? &slot->process : &state->launcher) = process;
	SpinLockRelease(&state->mutex);
}

/* Notes a database that has no slot; false when it is noted already. */
static bool
note_outsider(Oid database)
{
	bool		is_new = true;

	SpinLockAcquire(&state->mutex);
	for (int i = 0; i < state->noutsiders && is_new; i++)
		is_new = (state->outsiders[i].database != database);
	is_new = is_new && state->noutsiders < OUTSIDERS;
	if (is_new)
		state->outsiders[state->noutsiders++] = (Outsider) {database, false};
	SpinLockRelease(&state->mutex);
	return is_new;
}

Oid
slot_outsider(int number, bool **logged)
{
	if (number >= state->noutsiders)
		return InvalidOid;
	*logged = &state->outsiders[number].logged;
	return state->outsiders[number].database;
}

void
slot_forget_outsider(Oid database)
{
	SpinLockAcquire(&state->mutex);
	for (int i = 0; i < state->noutsiders; i++)
		if (state->outsiders[i].database == database)
		{
			state->outsiders[i] = state->outsiders[--state->noutsiders];
			break;
		}
	SpinLockRelease(&state->mutex);
}

static void
wake_process(int process)
{
	if (process != NO_PROCESS)
		SetLatch(&GetPGProcByNumber(process)->procLatch);
}

void
slot_wake(News news)
{
	static Slot *my_slot = NULL;	/* of this backend's database */
	int			process;
	bool		is_news;

	if (state == NULL)
		return;
	if (my_slot == NULL || my_slot->database != MyDatabaseId)
		my_slot = slot_find(MyDatabaseId);
	if (my_slot == NULL)
		is_news = note_outsider(MyDatabaseId);
	else
		is_news = (pg_atomic_fetch_or_u32(&my_slot->news, news) & news) == 0;
	if (!is_news)
		return;
	SpinLockAcquire(&state->mutex);
	process = my_slot && my_slot->process != NO_PROCESS ? my_slot->process : state->launcher;
	SpinLockRelease(&state->mutex);
	wake_process(process);
}

void
slot_sleep(long timeout, int events)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = new_wait_event("CommerceMaintenance");
	pgstat_report_activity(STATE_IDLE, NULL);
	if (!ShutdownRequestPending)
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

static const char *
slot_state(const Slot *slot)
{
	static const char *const kept_out[] = {
		[KEPT_OUT_NOT] = "IDLE",
		[KEPT_OUT_OFF] = "OFF",
		[KEPT_OUT_READ_ONLY] = "READ_ONLY",
		[KEPT_OUT_SUBSCRIBER] = "SUBSCRIBER",
		[KEPT_OUT_VERSION] = "OTHER_VERSION",
	};

	return slot->process != NO_PROCESS ? "WORKING" : kept_out[slot->kept_out];
}

static void
return_database(ReturnSetInfo *rsinfo, Oid database, const char *label, TimestampTz last_fold)
{
	Datum		values[3] = {ObjectIdGetDatum(database), CStringGetTextDatum(label), TimestampTzGetDatum(last_fold)};
	bool		nulls[3] = {false, false, last_fold == 0};

	if (OidIsValid(database))
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * maintenance_slots()
 *
 * (database oid, state text, last_fold timestamptz) of each that has a slot, or wants one; none without shared memory.
 */
Datum
commerce_maintenance_slots(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (state == NULL)
		return (Datum) 0;
	for (int i = 0; i < state->nslots; i++)
		return_database(rsinfo, state->slots[i].database, slot_state(&state->slots[i]), state->slots[i].last_fold);
	for (int i = 0; i < state->noutsiders; i++)
		return_database(rsinfo, state->outsiders[i].database, "NO_SLOT", 0);
	return (Datum) 0;
}
