/*
 * api_endpoint.h
 *	  What commerce_private.api_endpoints says of a function of commerce_api.
 */
#ifndef COMMERCE_API_ENDPOINT_H
#define COMMERCE_API_ENDPOINT_H

#include "base/sql.h"

#define API_ROLES	(API_ROLE_ADMIN + 1)

/* Where an argument's value comes from: see commerce_private.api_arguments. */
#define API_SOURCES(SOURCE) SOURCE(BODY) SOURCE(USER) SOURCE(KEY) SOURCE(ACTOR) SOURCE(ACTOR_ID) \
	SOURCE(OWNER) SOURCE(SELLER) SOURCE(SUBJECT)
#define API_SOURCE_CONSTANT(source) API_FROM_##source,

typedef enum ApiSource {API_SOURCES(API_SOURCE_CONSTANT)} ApiSource;

typedef struct ApiArgument
{
	const char *name;
	Oid			type;
	ApiSource	source;
	bool		asked;			/* a request can have it */
	bool		required;
	bool		needs_null;		/* when left out: the function has no default for it */
} ApiArgument;

/* The call of the function behind with some of its arguments, prepared. */
typedef struct ApiCall
{
	struct ApiCall *next;
	uint32		given;			/* bit n: argument n is */
	SqlStatement statement;
} ApiCall;

typedef struct ApiEndpoint
{
	MemoryContext context;		/* of this and everything below */
	const char *name;
	const char *function;		/* behind it */
	const char *answer;			/* SQL: the result r as jsonb */
	const char *location;		/* template, or NULL */
	bool		roles[API_ROLES];	/* who may call it */
	bool		reads;
	bool		keyed;			/* an Idempotency-Key makes a repeated call harmless */
	bool		judges_actor;	/* the function finds what is not its actor's by itself */
	bool		for_newcomers;	/* the token's subject need not be a user yet */
	int			nargs;
	ApiArgument *args;
	MemoryContext call_context; /* of the calls, or NULL */
	int			ncalls;
	ApiCall    *calls;
} ApiEndpoint;

/* The description of a function of commerce_api; it stays until the transaction ends. */
extern ApiEndpoint *api_endpoint(Oid oid);

/* The call of the function behind an endpoint with the arguments whose bits are set, in their order. */
extern SqlStatement *api_endpoint_call(ApiEndpoint *endpoint, uint32 given);

#endif
