/*
 * terms.h
 *	  What a call says of the order that it places, besides lines and coupons.
 */
#ifndef COMMERCE_TERMS_H
#define COMMERCE_TERMS_H

#include "utils/timestamp.h"

#include "shop/order.h"

typedef struct Terms
{
	PaymentMethod method;
	Recipient	delivery;		/* what the call gives; NULL: the user's own */
	Jsonb	   *metadata;		/* NULL: none */
	Interval   *pay_within;		/* NULL: as long as the channel has */
	int64		balance_part;	/* of an EXTERNAL order: what the balance pays */
	text	   *channel;		/* how the provider is to be paid; NULL: not said */
} Terms;

/*
 * The arguments payment_method, delivery, metadata, pay_within, balance_part and payment_channel of a function, of
 * which the first is number first.  Raises INVALID_REQUEST.
 */
extern Terms terms_get(FunctionCallInfo fcinfo, int first);

/* Reads a delivery: {"name", "phone", "address", "memo"}, each optional.  Raises INVALID_REQUEST. */
extern void terms_read_delivery(Recipient *delivery, Jsonb *object);

/* The canonical form of terms, the same for all that say the same. */
extern char *terms_canonical(const Terms *terms);

#endif
