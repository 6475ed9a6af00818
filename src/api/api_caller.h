/*
 * api_caller.h
 *	  Who makes a request over REST.
 */
#ifndef COMMERCE_API_CALLER_H
#define COMMERCE_API_CALLER_H

#include "api/api_endpoint.h"

typedef struct ApiCaller
{
	ApiRole		role;
	int64		user_id;		/* 0: anonymous, or nobody yet */
	int64		seller_id;		/* 0: no seller */
	const char *subject;		/* of the token; NULL: anonymous */
} ApiCaller;

/*
 * Finds out who calls an endpoint, and whether they may.  Raises UNAUTHENTICATED, FORBIDDEN.
 */
extern ApiCaller api_caller(const ApiEndpoint *endpoint);

#endif
