/*
 * news.c
 *	  Telling those above that a transaction has committed something.
 *
 * Who commits is below those who wait for it (the maintenance worker), and does not know them.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/news.h"

static void (*on_commit) (void) = NULL;

void
news_on_commit(void (*callback) (void))
{
	on_commit = callback;
}

void
news_tell(void)
{
	on_commit();
}
