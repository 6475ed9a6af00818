/*
 * calendar.h
 *	  Days, as the shop reckons them: in commerce.timezone; times as requests write them, and as answers and
 *	  events do, whatever TimeZone and DateStyle say.
 */
#ifndef COMMERCE_CALENDAR_H
#define COMMERCE_CALENDAR_H

#include "datatype/timestamp.h"
#include "utils/date.h"
#include "utils/guc.h"

/* The moment so many days after the transaction's start, at the same time of the day. */
extern TimestampTz calendar_days_from_now(int32 days);

/*
 * Whether a time can be kept: no infinity, and of a year from 1 to 9999 in every zone, as RFC 3339 has them.
 */
extern bool calendar_is_time(TimestampTz at);

/*
 * Reads a time of a request: 2026-12-01T09:00:00+09:00; without an offset it is the shop's, seconds can be left
 * out, and a day alone is its midnight.  Answers false for anything else.
 */
extern bool calendar_read_time(const char *text, TimestampTz *at);

/* Reads a day of a request, 2026-12-01.  Answers false for anything else. */
extern bool calendar_read_day(const char *text, DateADT *day);

/* What is told of a text that calendar_read_time() or calendar_read_day() refuses, after its argument's name. */
#define NO_TIME		"must be a time such as 2026-12-01T09:00:00+09:00"
#define NO_DAY		"must be a day such as 2026-12-01"

/* A time as answers and events have it: 2026-12-01T00:00:00.123456+00:00, palloc'd. */
extern char *calendar_time_text(TimestampTz at);

/* Of the setting commerce.timezone: whether a value names a time zone, and what makes it the one in force. */
extern bool calendar_check_zone(char **newval, void **extra, GucSource source);
extern void calendar_assign_zone(const char *newval, void *extra);

#endif
