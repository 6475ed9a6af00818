/*
 * user.h
 *	  Users as operations meet them.
 */
#ifndef COMMERCE_USER_H
#define COMMERCE_USER_H

#include "base/row_update.h"

/* A user as the recipient of an order; NULL: not known. */
typedef struct User
{
	int64		id;
	char	   *name;
	char	   *phone;
	char	   *address;
} User;

/* user_require_active(), and reads the user. */
extern User user_read_active(int64 user_id, bool lock);

/*
 * Raises ENTITY_NOT_FOUND or FORBIDDEN unless the user exists and is ACTIVE.  With lock, the user's row
 * is locked FOR NO KEY UPDATE until the transaction ends.
 */
extern void user_require_active(int64 user_id, bool lock);

/*
 * Raises ENTITY_NOT_FOUND or FORBIDDEN unless the user exists and is ACTIVE, for what is made for the user without a
 * lock on the row: until the transaction ends nobody erases the user (close_user()).
 */
extern void user_require_kept(int64 user_id);

/* Opens a user's row to be changed, as row_update_open() does. */
extern bool user_open(RowUpdate *user, int64 user_id, bool lock);

/* Moves the event key of a user, whose row is locked, for an event of his, and answers it. */
extern int64 user_move_event_key(int64 user_id);

/* The same where the user's row is being changed anyway. */
extern int64 user_put_event_key(RowUpdate *user);

/* Whether a user, whose row is locked, is ACTIVE. */
extern bool user_is_active(int64 user_id);

/*
 * Locks a user's row FOR NO KEY UPDATE until the transaction ends, whatever the user's status; false
 * when there is none, and with skip_locked also when somebody else has it.
 */
extern bool user_lock(int64 user_id, bool skip_locked);

#endif
