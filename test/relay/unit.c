/*
 * unit.c
 *	  Tests of those parts of commerce-relay that need neither a server nor an endpoint.  Prints TAP.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cloudevent.h"
#include "config.h"
#include "client/database.h"
#include "destination.h"
#include "webhook.h"
#include "../client/tap.h"

/* The test vector of the specification's own libraries */
static void
test_signature(void)
{
	const char *body = "{\"test\": 2432232314}";
	WebhookKey	keys[2];
	char	   *signature;

	ok(webhook_key_parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &keys[0]) == NULL, "a key is read");
	signature = webhook_signature(keys, 1, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, strlen(body));
	is(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "the specification's test vector");
	free(signature);

	ok(webhook_key_parse("whsec_eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=", &keys[1]) == NULL && keys[1].length == 29,
	   "a key with padding is read");
	signature = webhook_signature(keys, 2, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, strlen(body));
	ok(strncmp(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,", 51) == 0 && strlen(signature) == 95,
	   "two keys sign both");
	free(signature);
}

static void
test_bad_keys(void)
{
	static const char *const bad[] = {
		"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!w",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	};
	WebhookKey	key;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(webhook_key_parse(bad[i], &key) != NULL, "what is no key is refused");
}

static void
test_cloudevent(void)
{
	Event	   *event = event_create("00000001-0000000000000002-0000000000000003", "an \"id\"", "Some\\Type", "Order",
									 "line\n\x01", "{\"a\": 1}", "2026-01-31T00:00:00Z", 0);
	Event	   *events[2] = {event, event};
	PQExpBufferData one;
	PQExpBufferData batch;
	char	   *expected;

	initPQExpBuffer(&one);
	initPQExpBuffer(&batch);
	cloudevent_append(&one, event, "/shop");
	is(one.data,
	   "{\"specversion\":\"1.0\",\"id\":\"an \\\"id\\\"\",\"source\":\"/shop\",\"type\":\"Some\\\\Type\","
	   "\"subject\":\"Order/line\\u000a\\u0001\",\"time\":\"2026-01-31T00:00:00Z\","
	   "\"partitionkey\":\"line\\u000a\\u0001\",\"sequence\":\"00000001-0000000000000002-0000000000000003\","
	   "\"datacontenttype\":\"application/json\",\"data\":{\"a\": 1}}",
	   "an event as JSON, with what must be escaped");
	cloudevent_append_batch(&batch, events, 2, "/shop");
	expected = xformat("[%s,%s]", one.data, one.data);
	is(batch.data, expected, "two events as an array");
	free(expected);
	termPQExpBuffer(&one);
	termPQExpBuffer(&batch);
	event_free(event);
}

/* Of one that no file was read into */
static void
config_forget(Config *config)
{
	free(config->source);
	free(config->sink_addresses);
}

static void
test_settings(void)
{
	Config		config;
	Millis		duration;

	config_init(&config);
	ok(config.nretries == 8 && config.retries[0] == 5000 && config.retries[4] == 7200000, "the default retries");
	ok(config_set(&config, "retries", "1s, 2min 3h") == NULL && config.nretries == 3 && config.retries[2] == 10800000,
	   "other retries");
	ok(config_set(&config, "retries", "1s 2") != NULL, "a time without a unit is refused");
	ok(config_set(&config, "fetch_size", "0") != NULL, "a number that is too small is refused");
	ok(config_set(&config, "fetch_size", "12x") != NULL, "what is no number is refused");
	ok(config_set(&config, "nonsense", "1") != NULL, "an unknown setting is refused");
	ok(duration_parse("1d", &duration) && duration == 86400000, "a day");
	ok(!duration_parse("-1s", &duration) && !duration_parse("s", &duration), "a time that is none is refused");
	config_forget(&config);
}

static bool
secret_goes_to(const char *url, const char *prefix)
{
	char		value[200];
	Property	property = {.name = "url", .value = value};
	Secret		secret = {.urls = {&property, 1}};
	Subscription subscription = {.kind = SINK_HTTP};
	char		copy[200];

	snprintf(value, sizeof(value), "%s", prefix);
	snprintf(copy, sizeof(copy), "%s", url);
	subscription.url = copy;
	return destination_refuses_secret(&secret, &subscription) == NULL;
}

static void
test_secret_urls(void)
{
	static const char *const below[][2] = {
		{"https://h.example/hooks/a", "https://h.example/hooks/"}, {"https://h.example/hooks/", "https://h.example/hooks/"},
		{"https://h.example/hooks", "https://h.example/hooks"}, {"https://h.example/hooks?x=1", "https://h.example/hooks"},
		{"https://H.EXAMPLE:443/hooks/a/b", "https://h.example/hooks"}, {"https://h.example", "https://h.example"},
		{"https://h.example/a", "https://h.example"}, {"https://[::1]:8443/a", "https://[::1]:8443/"}
	};
	static const char *const not_below[][2] = {
		{"https://h.example.evil.com/hooks/a", "https://h.example/hooks/"}, {"https://evil.com/hooks/", "https://h.example/hooks/"},
		{"http://h.example/hooks/a", "https://h.example/hooks/"}, {"https://h.example/hookssss", "https://h.example/hooks"},
		{"https://h.example/hooks/../evil", "https://h.example/hooks/"}, {"https://h.example/hooks/%2e%2e/evil", "https://h.example/hooks/"},
		{"https://h.example/hooks/..%2Fevil", "https://h.example/hooks/"}, {"https://h.example:8443/hooks/", "https://h.example/hooks/"},
		{"https://h.example/hooks/..\\evil", "https://h.example/hooks/"}, {"https://h.example\\@evil.com/hooks/", "https://h.example/hooks/"},
		{"https://h.example#@evil.com/", "https://evil.com/"}, {"https://evil.com/https://h.example/hooks/", "https://h.example/hooks/"}
	};

	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++)
		ok(secret_goes_to(below[i][0], below[i][1]), below[i][0]);
	for (size_t i = 0; i < sizeof(not_below) / sizeof(not_below[0]); i++)
		ok(!secret_goes_to(not_below[i][0], not_below[i][1]), not_below[i][0]);
	ok(destination_check_url("https://h.example:8443/a/") == NULL, "a destination");
	ok(destination_check_url("http://h.example/") != NULL, "none without https");
	ok(destination_check_url("https://") != NULL, "none without a host");
	ok(destination_check_url("https://u:p@h.example/") != NULL, "none with a password");
	ok(destination_check_url("https://h.example/?a=b") != NULL, "none with a query");
}

static void
test_secret_brokers(void)
{
	char		brokers[2][20] = {"k1:9092", "k2:9092"};
	Property	properties[] = {{"brokers", brokers[0]}, {"brokers", brokers[1]}};
	Secret		secret = {.brokers = {properties, 2}};
	char		some[] = "K2:9092, k1:9092";
	char		more[] = "k1:9092,evil:9092";
	Subscription subscription = {.kind = SINK_KAFKA, .brokers = some};

	ok(destination_refuses_secret(&secret, &subscription) == NULL, "brokers that the secret names");
	subscription.brokers = more;
	ok(destination_refuses_secret(&secret, &subscription) != NULL, "one that it does not");
}

/* Whether sink_addresses, as in the file, have the address. */
static bool
allows(const char *networks, const char *text)
{
	Config		config;
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	bool		allowed;

	config_init(&config);
	if (networks && config_set(&config, "sink_addresses", networks) != NULL)
		exit(1);
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		allowed = destination_allows(&config, (struct sockaddr *) &in);
	else
	{
		inet_pton(AF_INET6, text, &in6.sin6_addr);
		allowed = destination_allows(&config, (struct sockaddr *) &in6);
	}
	config_forget(&config);
	return allowed;
}

static void
test_addresses(void)
{
	static const char *const special[] = {
		"127.0.0.1", "127.8.9.10", "0.0.0.0", "169.254.169.254", "::1", "::", "fe80::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"
	};
	Config		config;

	config_init(&config);
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		ok(!allows(NULL, special[i]), special[i]);
	ok(allows(NULL, "10.1.2.3") && allows(NULL, "192.0.2.1") && allows(NULL, "2001:db8::1"), "all others are allowed");
	ok(allows("127.0.0.1", "127.0.0.1") && allows("127.0.0.1", "::ffff:127.0.0.1"), "loopback when it is named");
	ok(!allows("127.0.0.1", "127.0.0.2") && !allows("127.0.0.1", "10.1.2.3"), "and nothing else");
	ok(allows("0.0.0.0/0 169.254.0.0/16", "169.254.169.254"), "link-local when it is named");
	ok(allows("10.0.0.0/9", "10.127.0.1") && !allows("10.0.0.0/9", "10.128.0.1"), "a network's border");
	ok(allows("2001:db8::/33", "2001:db8:7fff::1") && !allows("2001:db8::/33", "2001:db8:8000::1"), "and an IPv6 network's");
	ok(config_set(&config, "sink_addresses", "10.0.0.0/33") != NULL && config_set(&config, "sink_addresses", "10.0.0") != NULL &&
	   config_set(&config, "sink_addresses", "example.com") != NULL, "what is no network is refused");
	config_forget(&config);
}

/*
 * A server that lets everybody in and answers the first query with what is no message of the protocol.
 * Runs in a process of its own, which ends with the connection; returns its port.
 */
static int
start_broken_server(void)
{
	static const char welcome[] = "R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
	static const char nonsense[] = "!\0\0\0\0";
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	length = sizeof(address);
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	char		bytes[1000];
	int			client;

	if (bind(listener, (struct sockaddr *) &address, length) != 0 || listen(listener, 1) != 0 ||
		getsockname(listener, (struct sockaddr *) &address, &length) != 0)
		exit(1);
	if (fork() != 0)
	{
		close(listener);
		return ntohs(address.sin_port);
	}
	client = accept(listener, NULL, NULL);
	/* the start-up packet, then the query */
	if (read(client, bytes, sizeof(bytes)) > 0 && write(client, welcome, sizeof(welcome) - 1) > 0 &&
		read(client, bytes, sizeof(bytes)) > 0 && write(client, nonsense, sizeof(nonsense) - 1) > 0)
		while (read(client, bytes, sizeof(bytes)) > 0)
			;
	_exit(0);
}

static void
test_broken_server(void)
{
	Database	database = {0};
	char	   *conninfo = xformat("host=127.0.0.1 port=%d dbname=x user=x sslmode=disable gssencmode=disable",
								   start_broken_server());

	database_connect(&database, conninfo, "unit");
	database_wait(&database);
	ok(database.state == DATABASE_READY, "a server that lets us in");
	database_query(&database, "SELECT 1");
	database_wait(&database);
	ok(database.state == DATABASE_CLOSED, "one that makes no sense loses the connection");
	is(database.error, "lost synchronization with server: got message type \"!\", length 0", "and why is told");
	database_close(&database);
	wait(NULL);
	free(database.error);
	free(conninfo);
}

/* libpq may have no socket while it connects. */
static void
test_no_socket(void)
{
	Database	database = {.state = DATABASE_CONNECTING, .deadline = clock_now() + 60000};

	database_step(&database, clock_now());
	ok(database.state == DATABASE_CLOSED, "a connection without a socket is not waited for");
	free(database.error);
}

int
main(void)
{
	test_signature();
	test_bad_keys();
	test_cloudevent();
	test_settings();
	test_secret_urls();
	test_secret_brokers();
	test_addresses();
	test_broken_server();
	test_no_socket();
	printf("1..%d\n", tests);
	return failures > 0;
}
