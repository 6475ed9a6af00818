/*
 * currency.h
 *	  The shop's one currency.
 */
#ifndef COMMERCE_CURRENCY_H
#define COMMERCE_CURRENCY_H

#include "utils/guc.h"

/* The setting commerce.currency: a code of ISO 4217. */
extern char *commerce_currency;

/* Digits after the point in which the currency is written: amounts are in its smallest unit. */
extern int	currency_decimals(void);

/*
 * Raises INVALID_REQUEST when there are orders in another currency than the setting's; called before an order
 * is written.
 */
extern void currency_require(void);

/* The setting's check. */
extern bool currency_check(char **newval, void **extra, GucSource source);

#endif
