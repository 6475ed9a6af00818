/*
 * buffer.c
 *	  Text that grows.
 */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/log.h"
#include "client/util.h"

void
buffer_append_bytes(Buffer *buffer, const char *bytes, size_t length)
{
	if (buffer->length + length + 1 > buffer->room)
	{
		buffer->room = (buffer->length + length + 1) * 2;
		buffer->data = xrealloc(buffer->data, buffer->room);
	}
	memcpy(buffer->data + buffer->length, bytes, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void
buffer_append(Buffer *buffer, const char *text)
{
	buffer_append_bytes(buffer, text, strlen(text));
}

void
buffer_append_char(Buffer *buffer, char c)
{
	buffer_append_bytes(buffer, &c, 1);
}

void
buffer_printf(Buffer *buffer, const char *format,...)
{
	va_list		args;
	char	   *text;
	int			length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		log_fatal("out of memory");
	buffer_append_bytes(buffer, text, (size_t) length);
	free(text);
}

void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(Buffer));
}
