/*
 * charge.h
 *	  Charges of a balance that a provider is to pay.
 */
#ifndef COMMERCE_CHARGE_H
#define COMMERCE_CHARGE_H

#include "shop/actor.h"
#include "shop/payment.h"

/*
 * Writes an event of the user, whose row is locked, that carries a charge's payment in a member ("payment" or
 * "refund"), and who has caused it (NULL: the provider).
 */
extern void charge_write_event(const char *type, const char *member, const Payment *payment, const Actor *actor);

/* Ends at most max_rows charges whose time to pay is over, and answers how many. */
extern int	charge_end_overdue(int max_rows);

/* Ends all charges of a user, whose row is locked, that wait for their payment. */
extern void charge_end_of_user(int64 user_id);

#endif
