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
	ApiSource	source;
	bool		asked;			/* a request can have it */
	bool		required;
	int			param;			/* which parameter of the function behind it is */
	Oid			type;
} ApiArgument;

/* A parameter of the function behind; some are no arguments. */
typedef struct ApiParam
{
	Oid			type;
	Node	   *default_value;	/* or NULL */
} ApiParam;

/* What makes the answer of a row, when it is not the row alone. */
#define API_COMPLETIONS(COMPLETION) COMPLETION(none) COMPLETION(order) COMPLETION(order_sheet) COMPLETION(product) \
	COMPLETION(coupon) COMPLETION(promotion)
#define API_COMPLETION_CONSTANT(name) API_COMPLETES_##name,

typedef enum ApiCompletion {API_COMPLETIONS(API_COMPLETION_CONSTANT)} ApiCompletion;

typedef struct ApiEndpoint
{
	MemoryContext context;		/* of this and everything below */
	const char *name;
	Oid			function;		/* behind it */
	bool		returns_set;
	Oid			result_type;
	const char *result;			/* what a scalar result is called, or NULL */
	ApiCompletion completion;
	const char *location;		/* template, or NULL */
	bool		roles[API_ROLES];	/* who may call it */
	bool		reads;
	bool		keyed;			/* an Idempotency-Key makes a repeated call harmless */
	bool		judges_actor;	/* the function finds what is not its actor's by itself */
	bool		for_newcomers;	/* the token's subject need not be a user yet */
	int			nargs;
	ApiArgument *args;
	int			nparams;
	ApiParam   *params;
	SqlStatement rows;			/* of a function that returns a set: its result as a jsonb array */
} ApiEndpoint;

/* The description of a function of commerce_api; it stays until the transaction ends. */
extern ApiEndpoint *api_endpoint(Oid oid);

#endif
