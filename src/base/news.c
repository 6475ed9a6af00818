/*
 * news.c
 *	  Telling those above that a transaction has committed something.
 *
 * Who commits is below those who wait for it (the maintenance worker), and does not know them.
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/compat.h"
#include "base/news.h"

static void (*on_commit) (News news) = NULL;
static bool callback_registered = false;
static int	to_be_told = 0;		/* when the running transaction commits */

void
news_on_commit(void (*callback) (News news))
{
	on_commit = callback;
}

void
news_tell(News news)
{
	on_commit(news);
}

static void
news_xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && to_be_told != 0)
		on_commit(to_be_told);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		to_be_told = 0;
}

void
news_tell_at_commit(News news)
{
	if (!callback_registered)
		RegisterXactCallback(news_xact_callback, NULL);
	callback_registered = true;
	to_be_told |= news;
}
