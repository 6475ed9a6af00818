/*
 * commerce.c
 *	  Entry point of the library, and its one pair of shared-memory hooks.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/guc.h"
#include "base/news.h"
#include "base/refusals.h"
#include "base/sql.h"
#include "escrow/counters.h"
#include "worker/launcher.h"
#include "worker/slot.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	refusals_request_memory();
	counters_request_memory();
	slot_request_memory();
}

static void
start_memory(void)
{
	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	refusals_start_memory();
	counters_start_memory();
	slot_start_memory();
	LWLockRelease(AddinShmemInitLock);
}

void
_PG_init(void)
{
	guc_define();
	sql_init();
	news_on_commit(slot_wake);
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
	launcher_init();
}
