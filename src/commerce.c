/*
 * commerce.c
 *	  Entry point of the library.
 */
#include "postgres.h"

#include "fmgr.h"

#include "escrow_counters.h"
#include "guc.h"
#include "spi_util.h"
#include "worker.h"

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
