/*
 * webhook.c
 *	  Signatures of Standard Webhooks (https://www.standardwebhooks.com), symmetric: HMAC-SHA256 over
 *	  "id.timestamp.body".
 */
#include "webhook.h"

#include <inttypes.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "client/buffer.h"
#include "client/log.h"
#include "client/util.h"

#define PREFIX			"whsec_"
#define MIN_KEY			24
#define SHA256_LENGTH	32

const char *
webhook_key_parse(const char *secret, WebhookKey *key)
{
	unsigned char decoded[WEBHOOK_MAX_KEY + 3];
	size_t		length;
	int			padding = 0;
	int			n;

	if (strncmp(secret, PREFIX, strlen(PREFIX)) != 0)
		return "it does not begin with " PREFIX;
	secret += strlen(PREFIX);
	length = strlen(secret);
	if (length % 4 != 0 || length / 4 * 3 > sizeof(decoded))
		return "it is not 24 to 64 bytes in base64";
	while (padding < 2 && length > (size_t) padding && secret[length - 1 - padding] == '=')
		padding++;
	n = EVP_DecodeBlock(decoded, (const unsigned char *) secret, (int) length);
	if (n < 0)
		return "it is not base64";
	n -= padding;
	if (n < MIN_KEY || n > WEBHOOK_MAX_KEY)
		return "it is not 24 to 64 bytes in base64";
	memcpy(key->bytes, decoded, (size_t) n);
	key->length = (size_t) n;
	return NULL;
}

char *
webhook_signature(const WebhookKey *keys, int nkeys, const char *id, int64_t timestamp,
				  const char *body, size_t length)
{
	PQExpBufferData content;
	PQExpBufferData signature;
	char	   *result;

	initPQExpBuffer(&content);
	initPQExpBuffer(&signature);
	appendPQExpBuffer(&content, "%s.%" PRId64 ".", id, timestamp);
	appendBinaryPQExpBuffer(&content, body, length);
	buffer_check(&content);
	for (int i = 0; i < nkeys; i++)
	{
		unsigned char mac[SHA256_LENGTH];
		unsigned char base64[SHA256_LENGTH * 4 / 3 + 5];

		if (HMAC(EVP_sha256(), keys[i].bytes, (int) keys[i].length,
				 (unsigned char *) content.data, content.len, mac, NULL) == NULL)
			log_fatal("could not sign");
		EVP_EncodeBlock(base64, mac, SHA256_LENGTH);
		appendPQExpBuffer(&signature, "%sv1,%s", i > 0 ? " " : "", (char *) base64);
	}
	buffer_check(&signature);
	result = xstrdup(signature.data);
	termPQExpBuffer(&content);
	termPQExpBuffer(&signature);
	return result;
}
