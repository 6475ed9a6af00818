/*
 * news.h
 *	  Telling those above that a transaction has committed something.
 */
#ifndef COMMERCE_NEWS_H
#define COMMERCE_NEWS_H

/* What is told; bits, since several may be told before anybody has listened. */
typedef enum News
{
	NEWS_WRITTEN = 1,			/* events to be delivered, entries to be folded, orders that will expire */
	NEWS_ASKED = 2				/* something for which somebody waits, or that tells who is to be told */
} News;

/* Sets the function that is called with news.  Called once, from _PG_init. */
extern void news_on_commit(void (*callback) (News news));

/* Tells what a transaction of this database has committed.  Called after the commit; cheap, and does not throw. */
extern void news_tell(News news);

/* The same, when the running transaction commits. */
extern void news_tell_at_commit(News news);

#endif
