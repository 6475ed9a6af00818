/*
 * balance.h
 *	  Users' prepaid balances.
 */
#ifndef COMMERCE_BALANCE_H
#define COMMERCE_BALANCE_H

#include "fmgr.h"

#include "base/schema.h"

/*
 * What became of a balance.  The number of the entry is drawn when the balance is changed, under the lock of
 * the user's row, so that entries are in the order of what they tell, whenever their rows are written:
 * triggers that run between the two may charge this very balance.
 */
typedef struct BalanceChange
{
	int64		number;			/* of the entry */
	int64		balance;		/* after it */
} BalanceChange;

/*
 * Takes amount (>= 0) off an active user's balance and locks the row; answers false, with nothing
 * changed, when the balance is smaller: change->balance is then the one there is.  The caller writes the
 * entry with balance_record().
 */
extern bool balance_take(int64 user_id, int64 amount, BalanceChange *change);

/* Adds amount (>= 0) to a user's balance, whatever the user's status; for balance_record() too. */
extern BalanceChange balance_add(int64 user_id, int64 amount);

/*
 * Writes a journal row: amount signed; nothing for 0.
 * order_id, payment_id 0: none; reference may be NULL.
 */
extern void balance_record(int64 user_id, BalanceEntryKind kind, int64 amount, const BalanceChange *change,
						   int64 order_id, int64 payment_id, text *reference);

/* The argument amount of a function: one that can be charged.  Raises INVALID_REQUEST. */
extern int64 balance_arg_charge(FunctionCallInfo fcinfo, int i);

/*
 * Charges the balance of an active user, with the entry, which names a payment (0: none) and a reference (NULL:
 * none), and the event; false: the user is not ACTIVE, or would have too much.
 */
extern bool balance_charge(int64 user_id, int64 amount, int64 payment_id, text *reference, BalanceChange *change);

#endif
