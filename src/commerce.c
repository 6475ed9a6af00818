/*
 * commerce.c
 *	  Entry point of the library.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/guc.h"
#include "base/spi_util.h"
#include "escrow/escrow_counters.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	guc_define();
	sql_init();
	counters_init();
	worker_init();
}
