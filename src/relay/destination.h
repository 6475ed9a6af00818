/*
 * destination.h
 *	  Where the relay may send what, whatever the database says.
 */
#ifndef RELAY_DESTINATION_H
#define RELAY_DESTINATION_H

#include <stdbool.h>
#include <sys/socket.h>

#include "config.h"

/* Why the secret must not be sent where the subscription's sink is, or NULL. */
extern const char *destination_refuses_secret(const Secret *secret, const Subscription *subscription);

/* Reads "https://host[:port]/path", a destination of a secret; NULL, or what is wrong with it. */
extern const char *destination_check_url(const char *url);

/* Reads "10.0.0.0/8", "::1" and so on. */
extern bool network_parse(const char *text, Network *network);

/* Whether a sink's socket may be connected to the address; what may not is logged. */
extern bool destination_allows(const Config *config, const struct sockaddr *address);

#endif
