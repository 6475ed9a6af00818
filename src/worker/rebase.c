/*
 * rebase.c
 *	  prepare_after_restore(): a process of its own makes what came from another cluster this one's.
 *
 * Not the caller's transaction, which a timeout would end, and which would keep all of it until its end; and
 * also where the library is not preloaded, so that there is no maintenance worker.  Where there is one, the
 * two take turns: each batch has the gate.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/error.h"
#include "escrow/gate.h"
#include "escrow/origin.h"

PG_FUNCTION_INFO_V1(commerce_prepare_after_restore);

PGDLLEXPORT void commerce_rebase_main(Datum arg);

/* Does the next batch, in a transaction, and answers whether there may be more. */
static bool
do_batch(void)
{
	char	   *done;
	bool		more;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	more = gate_rebase_batch(&done);
	if (more)
		pgstat_report_activity(STATE_RUNNING, psprintf("rebasing: %s", done));
	PopActiveSnapshot();
	CommitTransactionCommand();
	return more;
}

void
commerce_rebase_main(Datum arg)
{
	Oid			database;

	memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof(Oid));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	set_no_transaction_timeout();
	while (do_batch())
		CHECK_FOR_INTERRUPTS();
}

static BackgroundWorkerHandle *
start_process(void)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &MyDatabaseId, sizeof(Oid));
	strlcpy(worker.bgw_library_name, "commerce", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "commerce_rebase_main", sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "commerce rebase of database %u", MyDatabaseId);
	strlcpy(worker.bgw_type, "commerce rebase", sizeof(worker.bgw_type));
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a background process"),
				 errhint("Consider raising max_worker_processes.")));
	return handle;
}

/*
 * prepare_after_restore()
 *
 * Answers whether anything was to be done, when it is.
 */
Datum
commerce_prepare_after_restore(PG_FUNCTION_ARGS)
{
	bool		begun;

	PreventCommandIfReadOnly("prepare_after_restore()");
	PreventCommandDuringRecovery("prepare_after_restore()");
	if (gate_foreign())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("prepare_after_restore() cannot run in the transaction that has written the data"),
				 errhint("Commit it first.")));
	if (!gate_needs_rebase(&begun) && !origin_marks_are_ahead())
		PG_RETURN_BOOL(false);
	if (WaitForBackgroundWorkerShutdown(start_process()) == BGWH_POSTMASTER_DIED)
		ereport(FATAL,
				(errcode(ERRCODE_ADMIN_SHUTDOWN),
				 errmsg("postmaster exited during prepare_after_restore()")));
	if (gate_needs_rebase(&begun))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the data has not been made this server's own"),
				 errhint("The server's log says why; what was done is kept, and the next call goes on.")));
	PG_RETURN_BOOL(true);
}
