/*
 * holdings.h
 *	  What the running transaction has taken and given of each resource, until its end settles the counters.
 */
#ifndef COMMERCE_HOLDINGS_H
#define COMMERCE_HOLDINGS_H

#include "escrow/counters.h"
#include "escrow/rows.h"

/* A resource that this transaction has a record of; key, journal first, is the hash table's. */
typedef struct Resource
{
	CounterKey	key;
	Counter    *counter;		/* pinned; NULL: not yet */
	int			newest;			/* index of the record of the deepest level */
} Resource;

/* What one level of subtransaction has taken and given of a resource. */
typedef struct Holding
{
	Resource   *resource;
	int			level;
	int			below;			/* the resource's record of the next level up, or -1 */
	int64		taken;			/* units in flight */
	int64		moved;			/* of these, units that go to another cell */
	int64		given;			/* units to come at commit */
	int64		spent;			/* units taken out of this transaction's own gives */
} Holding;

/*
 * The current level's record of a resource, whose counter is pinned and loaded.  It stays where it is until the next
 * call.  Raises SERVICE_BUSY when there is no room for the counter.
 */
extern Holding *holdings_open(EscrowKind kind, int64 id);

/* NULL: this transaction has no record of it. */
extern Resource *holdings_find(const CounterKey *key);

/* Units in flight that all levels have taken. */
extern int64 resource_taken(const Resource *resource);

/* Units that all levels have given, less what they took of them: never negative. */
extern int64 resource_unspent(const Resource *resource);

/* Counts this process as one that waits for so many units of a record's counter, until it ends that or is ended. */
extern void holdings_begin_wait(const Holding *holding, int64 units);
extern void holdings_end_wait(void);

#endif
