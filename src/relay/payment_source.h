/*
 * payment_source.h
 *	  Payment results from a Kafka topic to the shop.
 */
#ifndef RELAY_PAYMENT_SOURCE_H
#define RELAY_PAYMENT_SOURCE_H

#include <poll.h>

#include "config.h"

typedef struct PaymentSource PaymentSource;

/*
 * NULL, after logging why, when librdkafka does not like the settings or the role lacks the privilege; the
 * program ends when the server cannot be asked.  Nothing is dealt with yet.
 */
extern PaymentSource *payment_source_open(const Config *config);

extern void payment_source_step(PaymentSource *source, Millis now);
extern Millis payment_source_deadline(const PaymentSource *source);
extern bool payment_source_descriptor(const PaymentSource *source, struct pollfd *descriptor);

/* Lets it end when the message at hand is dealt with. */
extern void payment_source_finish(PaymentSource *source);
extern bool payment_source_finished(const PaymentSource *source);

extern void payment_source_close(PaymentSource *source);

/* Has the server try dead letters again; the program ends when it cannot be asked. */
extern void payment_source_redeliver(const Config *config);

#endif
