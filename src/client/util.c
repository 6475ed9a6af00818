/*
 * util.c
 *	  Memory that does not run out quietly, clocks, durations.
 */
#include "client/util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/buffer.h"
#include "client/log.h"

Millis
clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (Millis) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void *
xcalloc(size_t n, size_t size)
{
	void	   *p = calloc(n, size);

	if (p == NULL)
		log_fatal("out of memory");
	return p;
}

void *
xrealloc(void *old, size_t size)
{
	void	   *p = realloc(old, size);

	if (p == NULL)
		log_fatal("out of memory");
	return p;
}

char *
xstrdup(const char *s)
{
	char	   *copy = strdup(s);

	if (copy == NULL)
		log_fatal("out of memory");
	return copy;
}

char *
xformat(const char *format,...)
{
	va_list		args;
	char	   *text;
	int			length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		log_fatal("out of memory");
	return text;
}

void
buffer_check(const PQExpBufferData *buffer)
{
	if (PQExpBufferDataBroken(*buffer))
		log_fatal("out of memory");
}

bool
duration_parse(const char *text, Millis *duration)
{
	static const struct
	{
		const char *name;
		Millis		millis;
	}			units[] = {
		{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}
	};
	char	   *unit;
	long		number;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtol(text, &unit, 10);
	if (errno != 0 || number > 1000000000)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		if (strcmp(unit, units[i].name) == 0)
		{
			*duration = number * units[i].millis;
			return true;
		}
	}
	return false;
}

bool
number_parse(const char *text, long min, long max, int *number)
{
	char	   *end;
	long		value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		return false;
	*number = (int) value;
	return true;
}

double
random_fraction(void)
{
	return drand48();
}
