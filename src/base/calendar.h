/*
 * calendar.h
 *	  Days, as the shop reckons them: in commerce.timezone.
 */
#ifndef COMMERCE_CALENDAR_H
#define COMMERCE_CALENDAR_H

#include "datatype/timestamp.h"
#include "utils/guc.h"

/* The moment so many days after the transaction's start, at the same time of the day. */
extern TimestampTz calendar_days_from_now(int32 days);

/* Of the setting commerce.timezone: whether a value names a time zone, and what makes it the one in force. */
extern bool calendar_check_zone(char **newval, void **extra, GucSource source);
extern void calendar_assign_zone(const char *newval, void *extra);

#endif
