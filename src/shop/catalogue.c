/*
 * catalogue.c
 *	  An output plugin for cell 0 to send its catalogue by: PostgreSQL's own, pgoutput, which takes a breath.
 *
 * A WAL sender is woken by every commit, reads it, finds nothing of the catalogue there, and says how far it is, which
 * wakes the subscriber, whose answer wakes the sender again.  Where orders come in all the time this costs more than the
 * reading.  So a sender that has read everything waits for a moment before it looks for more.  What it has to send is
 * sent by then.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"
#include "replication/reorderbuffer.h"
#include "replication/walsender.h"
#include "storage/latch.h"

#include "base/compat.h"

#define BREATH_MS	100

PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

static LogicalDecodeCommitCB pgoutput_commit;

/* Not until the latch is set: that is what every commit does. */
static void
take_breath(void)
{
	static uint32 wait_event = 0;

	if (wait_event == 0)
		wait_event = new_wait_event("CommerceCatalogue");
	(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, BREATH_MS, wait_event);
	CHECK_FOR_INTERRUPTS();
}

static void
send_commit(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	pgoutput_commit(ctx, txn, commit_lsn);
	if (am_walsender && !RecoveryInProgress() && txn->end_lsn >= GetFlushRecPtr(NULL))
		take_breath();
}

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	LogicalOutputPluginInit init = (LogicalOutputPluginInit)
		load_external_function("pgoutput", "_PG_output_plugin_init", true, NULL);

	init(callbacks);
	pgoutput_commit = callbacks->commit_cb;
	callbacks->commit_cb = send_commit;
}
