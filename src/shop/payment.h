/*
 * payment.h
 *	  Payments.
 */
#ifndef COMMERCE_PAYMENT_H
#define COMMERCE_PAYMENT_H

#include "fmgr.h"
#include "utils/timestamp.h"

#include "base/json_writer.h"
#include "base/schema.h"

/* A row of commerce.payments */
typedef struct Payment
{
	int64		id;				/* 0: the next one is taken and set */
	int64		order_id;		/* 0: of a charge, or an archived order */
	int64		user_id;
	PaymentKind kind;
	PaymentMethod method;
	PaymentStatus status;
	int64		amount;
	int64		tax_free_amount;	/* what of amount is for tax-exempt lines */
#define TAX_FREE_UNKNOWN	(-1)	/* it is not for an order's lines */
	text	   *provider_event_id;	/* NULL: none */
	text	   *channel;		/* NULL: none */
	TimestampTz expires_at;		/* of a charge that is REQUESTED; 0: none */
	int64		refund_of;		/* payment that a refund goes back to; 0: none */
	text	   *paid_event_id;	/* of a refund: the provider's event of the payment that it goes back to; not stored */
	int64		charge_id;		/* charge that an UNEXPECTED payment answers; 0: none */
	int64		archived_order_id;	/* archived order that it, or what it refunds, answers; 0: none */
	text	   *idempotency_key;	/* of a charge; NULL: none */
	int64		left;			/* of a payment that is read: what is not refunded */
	int64		tax_free_left;	/* the part of left that is for tax-exempt lines */
} Payment;

extern void payment_insert(Payment *payment);

/* Reads a payment as it is now, committed or of this transaction; NULL: there is none. */
extern Payment *payment_read(int64 id);

/* The row of a payment as it is, as a composite datum. */
extern Datum payment_row(int64 id);

/* The payments row that a call with the same idempotency key returned (jsonb). */
extern Datum payment_stored(Datum stored);

/* Gives a payment another status, with the provider's event (NULL: it keeps its own), and stores its tax-free part. */
extern void payment_set_status(Payment *payment, PaymentStatus status, text *provider_event_id);

/* What has paid a locked order, the provider's payment first. */
extern Payment *payments_read_completed(int64 order_id, int *n);

/* The refund of a payment that is REQUESTED or COMPLETED; 0: there is none.  For payments that are refunded whole. */
extern int64 payment_find_refund(int64 payment_id);

/*
 * What of a refund (amount, at most what is left) of a payment that was read is for tax-exempt lines: what is wanted,
 * or as near to it as what is left of the payment, its tax-free and its taxed part, allows.
 */
extern int64 payment_refund_tax_free(const Payment *payment, int64 amount, int64 wanted);

/*
 * A refund of amount of a payment that was read, with its tax-free part as above: REQUESTED of a provider, COMPLETED
 * where it goes to the balance.
 */
extern Payment payment_refund(const Payment *payment, int64 amount, int64 tax_free_amount);

/* Writes what events say of a payment, as a member of the object that is open. */
extern void payment_put(JsonWriter *json, const char *member, const Payment *payment);

/*
 * How long an order or a charge of a channel (NULL: none is named) can be paid, in microseconds, or as long as
 * pay_within says (NULL: nothing).  Raises INVALID_REQUEST.
 */
extern int64 payment_time(text *channel, Interval *pay_within);

/* The argument provider_event_id of a function.  Raises INVALID_REQUEST. */
extern text *payment_arg_event(FunctionCallInfo fcinfo, int i);

/* The argument amount of a function: what the provider says that came; -1 for null, which is what was asked for. */
extern int64 payment_arg_amount(FunctionCallInfo fcinfo, int i);

/*
 * Whether this answer for a locked order has been recorded: it is known by order, event id and outcome.  Providers
 * announce a failure and then a success of one payment under one id, and two providers can use one id for two orders.
 */
extern bool payment_is_known(text *provider_event_id, int64 order_id, bool succeeded);

/* The same of a charge whose user is locked. */
extern bool payment_is_known_of_charge(text *provider_event_id, int64 charge_id, bool succeeded);

/* The charge that a user, whose row or key is locked, has requested with a key; NULL: none. */
extern Payment *payment_find_charge(int64 user_id, text *key);

/* How many charges of a user, whose row is locked, wait for their payment and are not overdue. */
extern int64 payment_count_requested_charges(int64 user_id);

/* The charges that are REQUESTED: of a user; those that are overdue, for a sweep. */
extern int64 *payment_find_requested_charges(int64 user_id, int *n);
extern int64 *payment_find_overdue_charges(int64 max, int64 skipped, int *n);

/*
 * What the provider is, or was, asked to pay for an order, by any of the tries to pay it (amount, channel); false: the
 * order is paid from the balance.
 */
extern bool payment_read_asked(int64 order_id, Payment *asked);

/*
 * Gives the payment that a pending order waits for another status, with the provider's event (NULL: none), and
 * fills in its id, amount, tax-free part and channel.
 */
extern void payment_end_requested(Payment *payment, PaymentStatus status, text *provider_event_id);

/* Gives what the balance has paid of an order that is not paid another status, and answers how much; 0: nothing. */
extern int64 payment_end_balance_part(int64 order_id, PaymentStatus status);

/* Whether an order has a completed payment. */
extern bool payment_is_completed(int64 order_id);

#endif
