/*
 * rows.h
 *	  What the journals and the narrow rows say about a resource.
 */
#ifndef COMMERCE_ROWS_H
#define COMMERCE_ROWS_H

/* What is limited. */
typedef enum EscrowKind
{
	ESCROW_STOCK,				/* products: narrow row in stock, journal stock_entries */
	ESCROW_QUOTA,				/* coupons: narrow row in coupon_quota, journals coupon_issues and quota_entries */
} EscrowKind;

/* OID of the journal that names the counters of a kind of resource. */
extern Oid	rows_journal(EscrowKind kind);

/* Locks a resource's narrow row until the transaction ends: the form without shared memory. */
extern void rows_lock(EscrowKind kind, int64 id);

/*
 * Locks a narrow row and sums the resource's units, own ones included.  Where there are no counters there
 * is no worker either; so it also folds a journal that has grown long.
 */
extern int64 rows_lock_and_sum(EscrowKind kind, int64 id);

/*
 * Sums a resource's units under a snapshot taken now, those that this transaction has taken or given
 * included or not.  Rebases first when the narrow row's mark is not of this cluster's past.
 */
extern int64 rows_sum(EscrowKind kind, int64 id, bool with_own);

/* Whether this is a cell of several as far as a resource goes: others may have units of it. */
extern bool rows_are_shared(EscrowKind kind, int64 id);

#endif
