/*
 * json.c
 *	  Texts in JSON.
 */
#include "json.h"

void
json_append_escaped(Buffer *out, const char *text)
{
	for (const char *c = text; *c; c++)
	{
		if (*c == '"' || *c == '\\')
			buffer_append_char(out, '\\');
		if ((unsigned char) *c < ' ')
			buffer_printf(out, "\\u%04x", (unsigned char) *c);
		else
			buffer_append_char(out, *c);
	}
}

void
json_append_string(Buffer *out, const char *text)
{
	buffer_append_char(out, '"');
	json_append_escaped(out, text);
	buffer_append_char(out, '"');
}
