/*
 * buffer.h
 *	  Text that grows: libpq's PQExpBuffer.
 */
#ifndef CLIENT_BUFFER_H
#define CLIENT_BUFFER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Its header wants these, and this of c.h, which would replace printf() with one that libpq does not have. */
#ifndef pg_attribute_printf
#define pg_attribute_printf(format_argument, first) __attribute__((format(printf, format_argument, first)))
#endif

#include <pqexpbuffer.h>

/* Ends the program when the buffer has run out of memory. */
extern void buffer_check(const PQExpBufferData *buffer);

#endif
