/*
 * payment.h
 *	  Payments.
 */
#ifndef COMMERCE_PAYMENT_H
#define COMMERCE_PAYMENT_H

#include "utils/timestamp.h"

#include "base/schema.h"

/* A row of commerce.payments; amount is in won. */
typedef struct Payment
{
	int64		id;				/* 0: the next one is taken and set */
	int64		order_id;		/* 0: of a charge */
	int64		user_id;
	PaymentKind kind;
	PaymentMethod method;
	PaymentStatus status;
	int64		amount;
	text	   *provider_event_id;	/* NULL: none */
	text	   *channel;		/* NULL: none */
	TimestampTz expires_at;		/* of a charge that is REQUESTED; 0: none */
	int64		refund_of;		/* payment that a refund goes back to; 0: none */
	int64		charge_id;		/* charge that an UNEXPECTED payment answers; 0: none */
} Payment;

extern void payment_insert(Payment *payment);

/*
 * How long an order or a charge of a channel (NULL: none is named) can be paid, in microseconds, or as long as
 * pay_within says (NULL: nothing).  Raises INVALID_REQUEST.
 */
extern int64 payment_time(text *channel, Interval *pay_within);

/* Checks a provider's event id (1 to 255 characters), and lets one answer with it at a time be worked on. */
extern void payment_lock_event(text *provider_event_id);

/*
 * Whether this answer has been recorded: an event of a provider is known by order, id and outcome.  Providers announce
 * a failure and then a success of one payment under one id, and two providers can use one id for two orders.
 */
extern bool payment_is_known(text *provider_event_id, int64 order_id, bool succeeded);

/*
 * Gives the payment that a pending order waits for another status, with the provider's event (NULL: none), and
 * answers its id and amount.
 */
extern int64 payment_end_requested(int64 order_id, PaymentStatus status, text *provider_event_id, int64 *amount);

/* Gives what the balance has paid of an order that is not paid another status, and answers how much; 0: nothing. */
extern int64 payment_end_balance_part(int64 order_id, PaymentStatus status);

/* Whether an order has a completed payment. */
extern bool payment_is_completed(int64 order_id);

#endif
