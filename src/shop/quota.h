/*
 * quota.h
 *	  How many of a coupon may be issued.
 */
#ifndef COMMERCE_QUOTA_H
#define COMMERCE_QUOTA_H

/* Writes the journal of units of a coupon that came from another cell, or (< 0) go there, as escrow.h says. */
extern void quota_record_transfer(int64 coupon_id, int64 delta);

#endif
