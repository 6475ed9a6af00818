/*
 * escrow.h
 *	  Taking and giving back units of what is limited: a product's stock, a coupon's quota.
 */
#ifndef COMMERCE_ESCROW_H
#define COMMERCE_ESCROW_H

#include "escrow/rows.h"

/*
 * Takes units (> 0) of a resource for this transaction, or answers false when fewer are left; then
 * *available says how many.  May wait for transactions that hold units.  After it, and not before, the
 * caller writes the journal rows.  The units come back when the (sub)transaction aborts.  Raises
 * SERVICE_BUSY when there is no room for the resource's counter.
 */
extern bool escrow_take(EscrowKind kind, int64 id, int64 units, int64 *available);

/*
 * The same, but waits commerce.cell_wait for units of other cells, which its counter tells the mover of, and raises
 * SERVICE_BUSY when they do not come; false: other cells do not have enough either, or did not a moment ago.
 */
extern bool escrow_take_anywhere(EscrowKind kind, int64 id, int64 units, int64 *available);

/*
 * Takes as many units of a resource, up to so many (> 0), as are there at this moment, to be moved to another cell, and
 * answers how many; waits for nobody.  Otherwise as escrow_take().
 */
extern int64 escrow_take_up_to(EscrowKind kind, int64 id, int64 units);

/*
 * Announces that the caller is about to write journal rows that give units (> 0) back.  Others can
 * take them when this transaction has committed.  Raises SERVICE_BUSY like escrow_take().
 */
extern void escrow_give(EscrowKind kind, int64 id, int64 units);

/*
 * True when units of the resource cannot be had whatever becomes of the running transactions, found
 * out without a lock, a row or the disk; false when that is not so, or not known.
 */
extern bool escrow_surely_short(EscrowKind kind, int64 id, int64 units, int64 *available);

/* The same of units that cannot be had at once, whatever running transactions may give back. */
extern bool escrow_short_now(EscrowKind kind, int64 id, int64 units);

#endif
