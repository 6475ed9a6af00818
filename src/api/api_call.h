/*
 * api_call.h
 *	  Calling the function behind an endpoint.
 */
#ifndef COMMERCE_API_CALL_H
#define COMMERCE_API_CALL_H

#include "api/api_answer.h"
#include "api/api_request.h"

/* Calls the function behind with the request's arguments; a set comes as a jsonb array. */
extern ApiResult api_call(const ApiRequest *request);

/* Appends what is answered of its result. */
extern void api_append_data(StringInfo json, const ApiRequest *request, const ApiResult *result);

#endif
