/*
 * log.h
 *	  Messages for the operator.
 */
#ifndef CLIENT_LOG_H
#define CLIENT_LOG_H

#include <stdbool.h>

typedef enum LogLevel
{
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
} LogLevel;

extern void log_start(LogLevel level);
extern bool log_level_parse(const char *name, LogLevel *level);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
extern void log_write(LogLevel level, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/* Ends the program with exit status 1. */
extern void log_fatal(const char *format,...)
			__attribute__((format(printf, 1, 2), noreturn));

#endif
