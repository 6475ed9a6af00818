/*
 * balance.h
 *	  Users' prepaid balances.
 */
#ifndef COMMERCE_BALANCE_H
#define COMMERCE_BALANCE_H

/*
 * Raises ENTITY_NOT_FOUND or FORBIDDEN unless the user exists and is ACTIVE.  With lock, the user's row
 * is locked FOR NO KEY UPDATE until the transaction ends.
 */
extern void user_require_active(int64 user_id, bool lock);

/*
 * Locks a user's row FOR NO KEY UPDATE until the transaction ends, whatever the user's status; false
 * when there is none, and with skip_locked also when somebody else has it.
 */
extern bool user_lock(int64 user_id, bool skip_locked);

/*
 * Takes amount (>= 0, won) off an active user's balance and locks the row; answers false, with nothing
 * changed, when the balance is smaller.  *balance is the balance after, or, when false, the one there
 * is.  The caller writes the entry with balance_record().
 */
extern bool balance_take(int64 user_id, int64 amount, int64 *balance);

/* Adds amount (>= 0, won) to a user's balance, whatever the user's status, and returns it. */
extern int64 balance_add(int64 user_id, int64 amount);

/*
 * Writes a journal row: kind is a label of balance_entry_kind, amount signed; nothing for 0.
 * order_id 0: none; reference may be NULL.
 */
extern void balance_record(int64 user_id, const char *kind, int64 amount, int64 balance_after,
						   int64 order_id, text *reference);

#endif
