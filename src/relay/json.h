/*
 * json.h
 *	  Texts in JSON.
 */
#ifndef RELAY_JSON_H
#define RELAY_JSON_H

#include "buffer.h"

/* Appends the text as the inside of a JSON string. */
extern void json_append_escaped(Buffer *out, const char *text);

/* Appends the text as a JSON string. */
extern void json_append_string(Buffer *out, const char *text);

#endif
