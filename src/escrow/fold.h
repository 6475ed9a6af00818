/*
 * fold.h
 *	  Adding journal rows of transactions that have ended to the narrow rows.
 */
#ifndef COMMERCE_FOLD_H
#define COMMERCE_FOLD_H

/* Folds everything that can be, unless somebody else is folding; then answers false, and does not wait. */
extern bool fold_try_all(void);

/*
 * The same of what the counters in shared memory say is worth it: resources of which at least `least`
 * transactions wrote since the last fold, and products that have sold out.  False also when some of them
 * have something left, because a transaction that may have written before them has not ended.
 */
extern bool fold_try_some(int64 least);

#endif
