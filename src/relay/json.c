/*
 * json.c
 *	  Texts in JSON.
 */
#include "json.h"

void
json_append_escaped(PQExpBuffer out, const char *text)
{
	for (const char *c = text; *c; c++)
	{
		if (*c == '"' || *c == '\\')
			appendPQExpBufferChar(out, '\\');
		if ((unsigned char) *c < ' ')
			appendPQExpBuffer(out, "\\u%04x", (unsigned char) *c);
		else
			appendPQExpBufferChar(out, *c);
	}
}

void
json_append_string(PQExpBuffer out, const char *text)
{
	appendPQExpBufferChar(out, '"');
	json_append_escaped(out, text);
	appendPQExpBufferChar(out, '"');
}
