/*
 * destination.c
 *	  Where the relay may send what, whatever the database says.
 *
 * A subscription's row names an address and a secret, and whoever may write it must not get the secret sent
 * to an address of his own, nor reach what only this host can reach.  So a secret goes only to the URLs and
 * brokers that its own section names, and never over plain http; and a sink's socket is connected only to
 * addresses of sink_addresses, which is looked at when the name has been resolved.  Loopback and link-local
 * addresses, where a host's own services and a cloud's metadata are, must be named themselves: a network
 * that is larger does not have them.
 */
#include "destination.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "client/log.h"

static const char *const special_networks[] = {
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::/128", "::1/128", "fe80::/10"
};

/*
 * Addresses
 */

/* An IPv4 address that is written as IPv6 is that IPv4 address. */
static void
unmap(Network *network)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (network->length == 16 && network->bits >= 96 && memcmp(network->bytes, mapped, 12) == 0)
	{
		memmove(network->bytes, network->bytes + 12, 4);
		network->length = 4;
		network->bits -= 96;
	}
}

bool
network_parse(const char *text, Network *network)
{
	char		address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t		length = slash ? (size_t) (slash - text) : strlen(text);

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (inet_pton(AF_INET, address, network->bytes) == 1)
		network->length = 4;
	else if (inet_pton(AF_INET6, address, network->bytes) == 1)
		network->length = 16;
	else
		return false;
	network->bits = network->length * 8;
	if (slash && !number_parse(slash + 1, 0, network->bits, &network->bits))
		return false;
	unmap(network);
	return true;
}

static bool
read_address(const struct sockaddr *address, Network *network)
{
	if (address->sa_family == AF_INET)
	{
		network->length = 4;
		memcpy(network->bytes, &((const struct sockaddr_in *) address)->sin_addr, 4);
	}
	else if (address->sa_family == AF_INET6)
	{
		network->length = 16;
		memcpy(network->bytes, &((const struct sockaddr_in6 *) address)->sin6_addr, 16);
	}
	else
		return false;
	network->bits = network->length * 8;
	unmap(network);
	return true;
}

/* Whether all of inner is in outer. */
static bool
contains(const Network *outer, const Network *inner)
{
	int			whole = outer->bits / 8;
	int			rest = outer->bits % 8;

	if (outer->length != inner->length || outer->bits > inner->bits || memcmp(outer->bytes, inner->bytes, (size_t) whole) != 0)
		return false;
	return rest == 0 || (outer->bytes[whole] ^ inner->bytes[whole]) >> (8 - rest) == 0;
}

static bool
names(const Network *network, const Network *address)
{
	if (!contains(network, address))
		return false;
	for (size_t i = 0; i < sizeof(special_networks) / sizeof(special_networks[0]); i++)
	{
		Network		special;

		network_parse(special_networks[i], &special);
		if (contains(&special, address) && !contains(&special, network))
			return false;
	}
	return true;
}

bool
destination_allows(const Config *config, const struct sockaddr *address)
{
	socklen_t	length = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	char		text[INET6_ADDRSTRLEN] = "it";
	Network		asked;

	if (read_address(address, &asked))
	{
		for (int i = 0; i < config->nsink_addresses; i++)
		{
			if (names(&config->sink_addresses[i], &asked))
				return true;
		}
		getnameinfo(address, length, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
	}
	log_error("a sink is at the address %s, which is not among sink_addresses", text);
	return false;
}

/*
 * URLs and brokers
 */

/* A part of a URL as libcurl will use it; to be freed with curl_free(). */
static char *
part_of(CURLU *url, CURLUPart part)
{
	char	   *text = NULL;

	if (curl_url_get(url, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) != CURLUE_OK)
		return NULL;
	return text;
}

static bool
same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char	   *of_a = part_of(a, part);
	char	   *of_b = part_of(b, part);
	bool		same = of_a && of_b && strcasecmp(of_a, of_b) == 0;

	curl_free(of_a);
	curl_free(of_b);
	return same;
}

/* Whether the path is the prefix's, or below it. */
static bool
path_is_below(CURLU *url, CURLU *prefix)
{
	char	   *path = part_of(url, CURLUPART_PATH);
	char	   *of_prefix = part_of(prefix, CURLUPART_PATH);
	size_t		length = of_prefix ? strlen(of_prefix) : 0;
	bool		below = path && of_prefix && strncmp(path, of_prefix, length) == 0 &&
		(of_prefix[length - 1] == '/' || path[length] == '\0' || path[length] == '/');

	/* what the server may take for .. or / must not lead out of it */
	if (below && (strcasestr(path, "%2e") || strcasestr(path, "%2f") || strcasestr(path, "%5c") || strchr(path, '\\')))
		below = false;
	curl_free(path);
	curl_free(of_prefix);
	return below;
}

static bool
is_below(const char *text, const char *prefix_text)
{
	CURLU	   *url = curl_url();
	CURLU	   *prefix = curl_url();
	bool		below = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
		curl_url_set(prefix, CURLUPART_URL, prefix_text, 0) == CURLUE_OK &&
		same_part(url, prefix, CURLUPART_SCHEME) && same_part(url, prefix, CURLUPART_HOST) &&
		same_part(url, prefix, CURLUPART_PORT) && path_is_below(url, prefix);

	curl_url_cleanup(url);
	curl_url_cleanup(prefix);
	return below;
}

const char *
destination_check_url(const char *text)
{
	static const CURLUPart unwanted[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT};
	CURLU	   *url = curl_url();
	const char *why = NULL;

	if (strncmp(text, "https://", 8) != 0 || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
		why = "a URL is wanted that begins with https://";
	for (size_t i = 0; why == NULL && i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
	{
		char	   *part = part_of(url, unwanted[i]);

		if (part)
			why = "only a host, a port and a path are wanted";
		curl_free(part);
	}
	curl_url_cleanup(url);
	return why;
}

static bool
is_listed(const char *broker, size_t length, const PropertyList *brokers)
{
	for (int i = 0; i < brokers->count; i++)
	{
		if (strlen(brokers->items[i].value) == length && strncasecmp(brokers->items[i].value, broker, length) == 0)
			return true;
	}
	return false;
}

static bool
all_listed(const char *brokers, const PropertyList *listed)
{
	while (*(brokers += strspn(brokers, ", \t")) != '\0')
	{
		size_t		length = strcspn(brokers, ", \t");

		if (!is_listed(brokers, length, listed))
			return false;
		brokers += length;
	}
	return true;
}

const char *
destination_refuses_secret(const Secret *secret, const Subscription *subscription)
{
	if (subscription->kind == SINK_KAFKA)
		return all_listed(subscription->brokers, &secret->brokers) ? NULL :
			"its secret does not name all of its brokers";
	if (strncasecmp(subscription->url, "https://", 8) != 0)
		return "its secret is not sent without https";
	for (int i = 0; i < secret->urls.count; i++)
	{
		if (is_below(subscription->url, secret->urls.items[i].value))
			return NULL;
	}
	return "its secret does not name its URL";
}
