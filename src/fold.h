/*
 * fold.h
 *	  Adding journal rows of transactions that have ended to the narrow rows.
 */
#ifndef COMMERCE_FOLD_H
#define COMMERCE_FOLD_H

/* Folds everything that can be; returns how many products and coupons it moved. */
extern int64 fold_all(void);

/*
 * Folds what the counters in shared memory say is worth it: resources of which at least `least`
 * transactions wrote since the last fold, and products that have sold out.  Returns how many of them have
 * something left, because a transaction that may have written before them has not ended.
 */
extern int64 fold_some(int64 least);

/* Keeps other folders out until the transaction ends, or answers false when there is one. */
extern bool fold_try_lock(void);

#endif
