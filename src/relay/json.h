/*
 * json.h
 *	  Texts in JSON.
 */
#ifndef RELAY_JSON_H
#define RELAY_JSON_H

#include "client/buffer.h"

/* Appends the text as the inside of a JSON string. */
extern void json_append_escaped(PQExpBuffer out, const char *text);

/* Appends the text as a JSON string. */
extern void json_append_string(PQExpBuffer out, const char *text);

#endif
