/*
 * payment.h
 *	  Payments.
 */
#ifndef COMMERCE_PAYMENT_H
#define COMMERCE_PAYMENT_H

#include "base/schema.h"

/* A row of commerce.payments; amount is in won. */
typedef struct Payment
{
	int64		id;				/* 0: the next one is taken and set */
	PaymentKind kind;
	PaymentMethod method;
	PaymentStatus status;
	int64		amount;
	text	   *provider_event_id;	/* NULL: none */
} Payment;

extern void payment_insert(int64 order_id, Payment *payment);

/* Checks a provider's event id (1 to 255 characters), and lets one answer with it at a time be worked on. */
extern void payment_lock_event(text *provider_event_id);

/*
 * Whether an answer with this id has been recorded; raises IDEMPOTENCY_KEY_REUSED when it was another
 * one, for another order or to another effect.
 */
extern bool payment_is_known(text *provider_event_id, int64 order_id, bool succeeded);

/*
 * Gives the payment that a pending order waits for another status, with the provider's event (NULL: none), and
 * answers its id.
 */
extern int64 payment_end_requested(int64 order_id, PaymentStatus status, text *provider_event_id);

/* Whether an order has a completed payment. */
extern bool payment_is_completed(int64 order_id);

#endif
