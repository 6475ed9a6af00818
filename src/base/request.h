/*
 * request.h
 *	  The request that PostgREST makes, as it hands it over in settings.
 */
#ifndef COMMERCE_REQUEST_H
#define COMMERCE_REQUEST_H

/* True when PostgREST made this call, and not SQL. */
extern bool request_is_http(void);

/*
 * Value of a request header (name in lower case), and of a claim of the token; NULL when there is none, when it is
 * neither a string nor a number, or when what is set is no JSON object.  It lives until the next such call.
 */
extern const char *request_header(const char *name);
extern const char *request_claim(const char *name);

#endif
