/*
 * config.h
 *	  What the relay is told by its file, and by the rows of subscriptions.
 */
#ifndef RELAY_CONFIG_H
#define RELAY_CONFIG_H

#include <stdbool.h>

#include "client/util.h"
#include "webhook.h"

#define MAX_RETRIES		32
#define MAX_KEYS		4

typedef struct Property
{
	char	   *name;
	char	   *value;
} Property;

typedef struct PropertyList
{
	Property   *items;
	int			count;
} PropertyList;

/* A section [secret NAME]. */
typedef struct Secret
{
	char	   *name;
	WebhookKey	keys[MAX_KEYS];
	int			nkeys;
	PropertyList headers;		/* whole lines, under their names */
	PropertyList kafka;			/* librdkafka's properties */
	PropertyList urls;			/* where it may go: these and what is below them */
	PropertyList brokers;		/* and to these */
} Secret;

/* Addresses with the same beginning. */
typedef struct Network
{
	unsigned char bytes[16];
	int			length;			/* of an address: 4 or 16 bytes */
	int			bits;			/* of the beginning */
} Network;

/* The section [payments]. */
typedef struct PaymentConfig
{
	char	   *brokers;
	char	   *topic;			/* NULL: payment results are not asked for */
	char	   *group;
	char	   *dbname;
	char	   *secret_name;
	Millis		give_up_after;	/* what could not be confirmed for so long is a dead letter */
} PaymentConfig;

typedef struct Config
{
	/* the section [relay] */
	char	   *dbname;			/* a connection string or a database's name; NULL: by environment */
	char	   *source;			/* CloudEvents' attribute */
	Millis		poll_interval;
	Millis		standby_interval;
	Millis		timeout;		/* of a request */
	Millis		connect_timeout;
	Millis		retries[MAX_RETRIES];	/* how long to wait after each failure of an event */
	int			nretries;
	int			max_requests;	/* under way at a time, of one subscription */
	int			max_blocked;	/* aggregates of one subscription that may wait for another attempt */
	int			fetch_size;		/* events asked for at a time */
	Network    *sink_addresses; /* where sinks may be */
	int			nsink_addresses;
	char	   *ca_file;		/* the authorities that sign https servers; NULL: the system's */

	Secret	   *secrets;
	int			nsecrets;
	PaymentConfig payments;
} Config;

typedef enum SinkKind
{
	SINK_HTTP,
	SINK_KAFKA
} SinkKind;

/* A row of relay_subscriptions(). */
typedef struct Subscription
{
	char	   *name;
	SinkKind	kind;
	char	   *url;
	char	   *brokers;
	char	   *topic;
	int			batch_size;		/* events in an HTTP request; 1: a single CloudEvent, no array */
	bool		filtered;		/* it does not want every type of event */
	const Secret *secret;		/* or NULL */
} Subscription;

extern void subscription_free(Subscription *subscription);

/* The defaults of every setting. */
extern void config_init(Config *config);

/*
 * Reads a file into *config.  What is wrong with it is logged, line by line; false when there was
 * anything.
 */
extern bool config_read(const char *path, Config *config);

/* Sets one of the section [relay]; NULL, or why not. */
extern const char *config_set(Config *config, const char *name, const char *value);

extern const Secret *config_secret(const Config *config, const char *name);

#endif
