/*
 * buffer.h
 *	  Text that grows.
 */
#ifndef RELAY_BUFFER_H
#define RELAY_BUFFER_H

#include <stddef.h>

/* All zero: empty.  data ends with a zero byte that length does not count, once something was appended. */
typedef struct Buffer
{
	char	   *data;
	size_t		length;
	size_t		room;
} Buffer;

extern void buffer_append(Buffer *buffer, const char *text);
extern void buffer_append_char(Buffer *buffer, char c);
extern void buffer_append_bytes(Buffer *buffer, const char *bytes, size_t length);
extern void buffer_printf(Buffer *buffer, const char *format,...) __attribute__((format(printf, 2, 3)));
extern void buffer_free(Buffer *buffer);

#endif
