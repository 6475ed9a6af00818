/*
 * util.h
 *	  Memory that does not run out quietly, clocks, durations.
 */
#ifndef CLIENT_UTIL_H
#define CLIENT_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The clock of every deadline in here: milliseconds, never set back. */
typedef int64_t Millis;

#define NEVER INT64_MAX

extern Millis clock_now(void);

extern void *xcalloc(size_t n, size_t size);
extern void *xrealloc(void *old, size_t size);
extern char *xstrdup(const char *s);
extern char *xformat(const char *format,...) __attribute__((format(printf, 1, 2)));

/* Reads "500ms", "5s", "30min", "2h", "1d"; false when it is something else. */
extern bool duration_parse(const char *text, Millis *duration);

/* A whole number from min to max; false when it is something else. */
extern bool number_parse(const char *text, long min, long max, int *number);

/* A random number from 0 up to, not including, 1. */
extern double random_fraction(void);

#endif
