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

#include "buffer.h"
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
	Buffer		content = {0};
	Buffer		signature = {0};
	char	   *result;

	buffer_printf(&content, "%s.%" PRId64 ".", id, timestamp);
	buffer_append_bytes(&content, body, length);
	for (int i = 0; i < nkeys; i++)
	{
		unsigned char mac[SHA256_LENGTH];
		unsigned char base64[SHA256_LENGTH * 4 / 3 + 5];

		if (HMAC(EVP_sha256(), keys[i].bytes, (int) keys[i].length,
				 (unsigned char *) content.data, content.length, mac, NULL) == NULL)
			log_fatal("could not sign");
		EVP_EncodeBlock(base64, mac, SHA256_LENGTH);
		buffer_printf(&signature, "%sv1,%s", i > 0 ? " " : "", (char *) base64);
	}
	result = xstrdup(signature.data);
	buffer_free(&content);
	buffer_free(&signature);
	return result;
}
