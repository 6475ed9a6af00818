/*
 * log.c
 *	  Messages for the operator; owns standard error.
 *
 * One line a message.  Under systemd, which keeps the time itself, a line begins with the priority that
 * the journal understands, otherwise with the time and the level.  What comes from outside (an answer of
 * an endpoint, an error of the server) may hold anything: control characters are replaced.
 */
#include "client/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int syslog_priorities[] = {3, 4, 6, 7};

static LogLevel log_level = LOG_LEVEL_INFO;
static bool journal = false;

void
log_start(LogLevel level)
{
	log_level = level;
	journal = getenv("JOURNAL_STREAM") != NULL;
}

bool
log_level_parse(const char *name, LogLevel *level)
{
	for (int i = 0; i < 4; i++)
	{
		if (strcmp(name, level_names[i]) == 0)
		{
			*level = (LogLevel) i;
			return true;
		}
	}
	return false;
}

static void
write_line(LogLevel level, const char *format, va_list args)
{
	char		message[2000];

	vsnprintf(message, sizeof(message), format, args);
	for (char *c = message; *c; c++)
	{
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	if (journal)
		fprintf(stderr, "<%d>%s\n", syslog_priorities[level], message);
	else
	{
		struct timespec now;
		struct tm	utc;
		char		at[32];

		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &utc);
		strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &utc);
		fprintf(stderr, "%s.%03ldZ %s: %s\n", at, now.tv_nsec / 1000000, level_names[level], message);
	}
}

void
log_write(LogLevel level, const char *format,...)
{
	va_list		args;

	if (level > log_level)
		return;
	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

void
log_fatal(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	write_line(LOG_LEVEL_ERROR, format, args);
	va_end(args);
	exit(1);
}
