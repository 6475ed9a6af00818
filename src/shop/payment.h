/*
 * payment.h
 *	  Payments.
 */
#ifndef COMMERCE_PAYMENT_H
#define COMMERCE_PAYMENT_H

typedef enum PaymentMethod
{
	PAYMENT_BALANCE,
	PAYMENT_EXTERNAL,
} PaymentMethod;

extern const char *const payment_method_labels[2];

/* A row of commerce.payments; labels are those of the SQL types, amount is in won. */
typedef struct Payment
{
	int64		id;				/* 0: the next one is taken and set */
	const char *kind;
	PaymentMethod method;
	const char *status;
	int64		amount;
	text	   *provider_event_id;	/* NULL: none */
} Payment;

/* The payment method that an argument of type payment_method names. */
extern PaymentMethod payment_method_of(Datum value);

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
extern int64 payment_end_requested(int64 order_id, const char *status, text *provider_event_id);

/* Whether an order has a completed payment. */
extern bool payment_is_completed(int64 order_id);

#endif
