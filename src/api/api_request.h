/*
 * api_request.h
 *	  From a request over REST to the arguments of the function behind.
 */
#ifndef COMMERCE_API_REQUEST_H
#define COMMERCE_API_REQUEST_H

#include "fmgr.h"

#include "api/api_caller.h"
#include "api/api_endpoint.h"

typedef struct ApiRequest
{
	ApiEndpoint *endpoint;
	ApiCaller	caller;
	Datum	   *values;			/* of the endpoint's arguments */
	uint32		given;			/* bit n: argument n is passed to the function behind */
	text	   *key;			/* Idempotency-Key, or NULL */
	bool		key_given;		/* to the function behind */
} ApiRequest;

/*
 * Checks a call's arguments, one jsonb or the named texts of a reading function, and fills the rest in
 * from the caller and the key.  Raises INVALID_REQUEST.
 */
extern void api_request_fill(ApiRequest *request, FunctionCallInfo fcinfo);

/* Raises ENTITY_NOT_FOUND for a thing among the arguments that is somebody else's. */
extern void api_request_require_own(ApiRequest *request);

/* After an error: the argument whose value its type's input function was reading, or NULL. */
extern const char *api_request_stop_parsing(void);

#endif
