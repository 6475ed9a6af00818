/*
 * webhook.h
 *	  Signatures of Standard Webhooks.
 */
#ifndef RELAY_WEBHOOK_H
#define RELAY_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBHOOK_MAX_KEY 64		/* bytes; the specification allows 24 to 64 */

typedef struct WebhookKey
{
	unsigned char bytes[WEBHOOK_MAX_KEY];
	size_t		length;
} WebhookKey;

/* Reads "whsec_" and base64; the reason why it is no key, or NULL when it is one. */
extern const char *webhook_key_parse(const char *secret, WebhookKey *key);

/*
 * The value of webhook-signature, "v1,BASE64" for each key with blanks between; malloc'ed.  Several keys
 * are for the time when an endpoint changes from one to the next.
 */
extern char *webhook_signature(const WebhookKey *keys, int nkeys, const char *id, int64_t timestamp,
							   const char *body, size_t length);

#endif
