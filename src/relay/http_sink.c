/*
 * http_sink.c
 *	  Events to HTTP endpoints; owns the libcurl multi handle of all of them.
 *
 * A request is a POST of one CloudEvent, or of an array of them, signed as Standard Webhooks say.  Any
 * answer of class 2 that is complete, or longer than MAX_ANSWER, means that the events have arrived.
 * What another answer says goes into the log alone: others can read the error that the server is told.
 * Redirects are not followed, no proxy is used, whatever the environment says, and every step has a time
 * limit.
 *
 * webhook-id is the same whenever the same events are sent again: the event's id, and for several a hash
 * of their ids.  The first event's id would not do, since what a repetition has in it may differ.
 */
#include "http_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>
#include <openssl/evp.h>

#include "cloudevent.h"
#include "delivery.h"
#include "destination.h"
#include "client/log.h"
#include "webhook.h"

#define KEPT_OF_ANSWER	200
#define MAX_ANSWER		(1024 * 1024)	/* what is beyond that is not read */
#define MIN_MASKED		4		/* shorter words are no secrets */
#define MAX_RETRY_AFTER	(24 * 3600)	/* seconds */

typedef struct HttpSink
{
	Sink		sink;
	const Subscription *subscription;
	const Config *config;
} HttpSink;

/* A request under way. */
typedef struct Transfer
{
	Request    *request;
	const HttpSink *sink;
	const Secret *secret;		/* or NULL */
	bool		forbidden;		/* an address is not allowed */
	CURL	   *curl;
	struct curl_slist *headers;
	PQExpBufferData body;
	char		answer[KEPT_OF_ANSWER + 1];
	size_t		answer_length;	/* all of it */
	char		error[CURL_ERROR_SIZE];
} Transfer;

static CURLM *multi;

void
http_start(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (multi = curl_multi_init()) == NULL)
		log_fatal("could not start libcurl");
}

static size_t
keep_answer(char *data, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;
	size_t		length = size * count;

	if (transfer->answer_length < KEPT_OF_ANSWER)
	{
		size_t		room = KEPT_OF_ANSWER - transfer->answer_length;

		memcpy(transfer->answer + transfer->answer_length, data, length < room ? length : room);
	}
	transfer->answer_length += length;
	return transfer->answer_length > MAX_ANSWER ? 0 : length;
}

static void
add_header(Transfer *transfer, const char *format, const char *value)
{
	char	   *header = xformat(format, value);
	struct curl_slist *longer = curl_slist_append(transfer->headers, header);

	if (longer == NULL)
		log_fatal("out of memory");
	transfer->headers = longer;
	free(header);
}

static char *
request_id(const Request *request)
{
	EVP_MD_CTX *context;
	unsigned char hash[EVP_MAX_MD_SIZE];
	char		hex[33];

	if (request->nevents == 1)
		return xstrdup(request->events[0]->id);
	context = EVP_MD_CTX_new();
	if (context == NULL || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
		log_fatal("could not hash");
	for (int i = 0; i < request->nevents; i++)
		EVP_DigestUpdate(context, request->events[i]->id, strlen(request->events[i]->id));
	EVP_DigestFinal_ex(context, hash, NULL);
	EVP_MD_CTX_free(context);
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	return xformat("batch_%s", hex);
}

static void
write_headers(Transfer *transfer, const HttpSink *sink)
{
	const Secret *secret = transfer->secret;
	time_t		now = time(NULL);
	char	   *id = request_id(transfer->request);
	char	   *timestamp = xformat("%lld", (long long) now);

	add_header(transfer, "Content-Type: %s", sink->subscription->batch_size > 1 ? CLOUDEVENT_BATCH_TYPE : CLOUDEVENT_TYPE);
	add_header(transfer, "Expect:%s", "");
	add_header(transfer, "webhook-id: %s", id);
	add_header(transfer, "webhook-timestamp: %s", timestamp);
	if (secret && secret->nkeys > 0)
	{
		char	   *signature = webhook_signature(secret->keys, secret->nkeys, id, now,
												  transfer->body.data, transfer->body.len);

		add_header(transfer, "webhook-signature: %s", signature);
		free(signature);
	}
	for (int i = 0; secret && i < secret->headers.count; i++)
		add_header(transfer, "%s", secret->headers.items[i].value);
	free(id);
	free(timestamp);
}

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = arg;

	if (destination_allows(transfer->sink->config, &address->addr))
		return socket(address->family, address->socktype, address->protocol);
	transfer->forbidden = true;
	return CURL_SOCKET_BAD;
}

static void
http_send(Sink *sink, Request *request)
{
	const HttpSink *http = (const HttpSink *) sink;
	const Config *config = http->config;
	Transfer   *transfer = xcalloc(1, sizeof(Transfer));
	CURL	   *curl = curl_easy_init();

	if (curl == NULL)
		log_fatal("out of memory");
	transfer->request = request;
	transfer->sink = http;
	transfer->secret = http->subscription->secret;
	transfer->curl = curl;
	request->sink_state = transfer;

	initPQExpBuffer(&transfer->body);
	if (http->subscription->batch_size > 1)
		cloudevent_append_batch(&transfer->body, request->events, request->nevents, config->source);
	else
		cloudevent_append(&transfer->body, request->events[0], config->source);
	buffer_check(&transfer->body);
	write_headers(transfer, http);

	curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(curl, CURLOPT_URL, http->subscription->url);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "commerce-relay");
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, transfer->body.data);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) transfer->body.len);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, transfer);
	if (config->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, config->ca_file);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) config->timeout);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long) config->connect_timeout);
	if (curl_multi_add_handle(multi, curl) != CURLM_OK)
		log_fatal("could not add a transfer");
}

static void
free_transfer(Transfer *transfer)
{
	curl_multi_remove_handle(multi, transfer->curl);
	curl_easy_cleanup(transfer->curl);
	curl_slist_free_all(transfer->headers);
	termPQExpBuffer(&transfer->body);
	transfer->request->sink_state = NULL;
	free(transfer);
}

static void
http_cancel(Sink *sink, Request *request)
{
	free_transfer(request->sink_state);
}

static void
http_close(Sink *sink)
{
	free(sink);
}

static void
mask_word(Transfer *transfer, const char *word, size_t length)
{
	for (char *c = transfer->answer; *c; c++)
	{
		size_t		rest = strlen(c);

		/* its end may not have been kept */
		if (rest > length || transfer->answer_length <= KEPT_OF_ANSWER)
			rest = length;
		if (strncmp(c, word, rest) == 0)
			memset(c, '*', rest);
	}
}

/* An endpoint may repeat what it was sent, but the words of the file's headers are not for a log. */
static void
mask_headers(Transfer *transfer)
{
	const PropertyList *headers = &transfer->secret->headers;

	for (int i = 0; i < headers->count; i++)
	{
		const char *word = strchr(headers->items[i].value, ':') + 1;

		while (*(word += strspn(word, " \t")) != '\0')
		{
			size_t		length = strcspn(word, " \t");

			if (length >= MIN_MASKED)
				mask_word(transfer, word, length);
			word += length;
		}
	}
}

static void
log_answer(Transfer *transfer)
{
	if (transfer->answer[0] == '\0')
		return;
	if (transfer->secret)
		mask_headers(transfer);
	/* it may be in any encoding */
	for (char *c = transfer->answer; *c; c++)
	{
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	log_info("subscription %s: the endpoint says: %s", transfer->sink->subscription->name, transfer->answer);
}

static void
judge(Transfer *transfer, CURLcode result, Outcome *outcome)
{
	long		status = 0;
	curl_off_t	retry_after = 0;

	memset(outcome, 0, sizeof(Outcome));
	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(transfer->curl, CURLINFO_RETRY_AFTER, &retry_after);
	if (retry_after > MAX_RETRY_AFTER)
		retry_after = MAX_RETRY_AFTER;
	outcome->retry_after = retry_after * 1000;

	/* we ourselves have ended an answer that was too long */
	if (result == CURLE_WRITE_ERROR && transfer->answer_length > MAX_ANSWER)
		result = CURLE_OK;
	if (result != CURLE_OK)
	{
		outcome->answer = ANSWER_FAILED;
		outcome->retry_after = 0;
		snprintf(outcome->error, sizeof(outcome->error), "%s", transfer->forbidden ?
				 "the relay's sink_addresses do not have its address" : curl_easy_strerror(result));
		if (transfer->error[0])
			log_info("subscription %s: %s", transfer->sink->subscription->name, transfer->error);
		return;
	}
	if (status >= 200 && status <= 299)
	{
		outcome->answer = ANSWER_ACCEPTED;
		return;
	}
	if (status == 410)
		outcome->answer = ANSWER_GONE;
	else if (status == 429 || (status == 503 && retry_after > 0))
		outcome->answer = ANSWER_BUSY;
	else
		outcome->answer = ANSWER_FAILED;
	snprintf(outcome->error, sizeof(outcome->error), "status %ld", status);
	log_answer(transfer);
}

/* Returns whether there were any. */
static bool
finish_transfers(void)
{
	bool		any = false;
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURLcode	result;
		Transfer   *transfer;
		Request    *request;
		Outcome		outcome;

		if (message->msg != CURLMSG_DONE)
			continue;
		/* the message does not outlive the removal of its handle */
		result = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
		request = transfer->request;
		judge(transfer, result, &outcome);
		free_transfer(transfer);
		delivery_answer(request, &outcome);
		any = true;
	}
	return any;
}

void
http_wait(const struct pollfd *descriptors, unsigned count, Millis timeout)
{
	struct curl_waitfd *others = xcalloc(count + 1, sizeof(struct curl_waitfd));
	int			running;

	for (unsigned i = 0; i < count; i++)
	{
		others[i].fd = descriptors[i].fd;
		others[i].events = (short) ((descriptors[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
									(descriptors[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
	}

	/* what was just added goes out before we wait */
	curl_multi_perform(multi, &running);
	if (finish_transfers())
		timeout = 0;
	curl_multi_poll(multi, others, count, (int) timeout, NULL);
	free(others);
	curl_multi_perform(multi, &running);
	finish_transfers();
}

static const SinkOperations http_operations = {http_send, http_cancel, http_close};

Sink *
http_sink_open(const Subscription *subscription, const Config *config)
{
	HttpSink   *sink = xcalloc(1, sizeof(HttpSink));

	sink->sink.operations = &http_operations;
	sink->subscription = subscription;
	sink->config = config;
	return &sink->sink;
}
