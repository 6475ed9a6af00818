/*
 * news.h
 *	  Telling those above that a transaction has committed something.
 */
#ifndef COMMERCE_NEWS_H
#define COMMERCE_NEWS_H

/* Sets the function that is called with news.  Called once, from _PG_init. */
extern void news_on_commit(void (*callback) (void));

/*
 * Tells that a transaction of this database has committed something: events to be delivered, entries to
 * be folded, orders that will expire.  Called after the commit; cheap, and does not throw.
 */
extern void news_tell(void);

#endif
