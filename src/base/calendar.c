/*
 * calendar.c
 *	  Days, as the shop reckons them: in commerce.timezone.  Times in texts.
 *
 * Requests are not read by PostgreSQL's own input functions: these know "tomorrow" and "infinity", and a time
 * without an offset is in the server's TimeZone to them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"

PG_FUNCTION_INFO_V1(commerce_is_time);
PG_FUNCTION_INFO_V1(commerce_local_date);
PG_FUNCTION_INFO_V1(commerce_moment_from_text);
PG_FUNCTION_INFO_V1(commerce_moment_to_json);
PG_FUNCTION_INFO_V1(commerce_read_time);

static pg_tz *zone = NULL;		/* in force */

bool
calendar_check_zone(char **newval, void **extra, GucSource source)
{
	pg_tz	   *tz = pg_tzset(*newval);
	pg_tz	  **found;

	if (tz == NULL || !pg_tz_acceptable(tz))
	{
		GUC_check_errdetail("\"%s\" is not a time zone that the server knows.", *newval);
		return false;
	}
	found = guc_malloc(LOG, sizeof(pg_tz *));
	if (found == NULL)
		return false;
	*found = tz;
	*extra = found;
	return true;
}

void
calendar_assign_zone(const char *newval, void *extra)
{
	zone = *(pg_tz **) extra;
}

TimestampTz
calendar_days_from_now(int32 days)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	int			day;
	TimestampTz at;

	if (timestamp2tm(GetCurrentTransactionStartTimestamp(), &tz, &tm, &fsec, NULL, zone) == 0 &&
		!pg_add_s32_overflow(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday), days, &day))
	{
		j2date(day, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
		tz = DetermineTimeZoneOffset(&tm, zone);
		if (tm2timestamp(&tm, fsec, &tz, &at) == 0)
			return at;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("timestamp out of range")));
}

/*
 * local_date(at timestamptz)
 *
 * The day of a moment in commerce.timezone.
 */
Datum
commerce_local_date(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;

	if (TIMESTAMP_NOT_FINITE(at) ||
		timestamp2tm(at, &tz, &tm, &fsec, NULL, zone) != 0)
		raise_invalid("at", "must have a calendar day");
	PG_RETURN_DATEADT(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE);
}

bool
calendar_is_time(TimestampTz at)
{
	/* a day within the years at both ends: no zone is further away */
	return at >= (int64) (date2j(1, 1, 2) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY &&
		at < (int64) (date2j(9999, 12, 31) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
}

/* Takes so many digits off the front of a text. */
static bool
take_number(const char **text, int digits, int *number)
{
	*number = 0;
	for (int i = 0; i < digits; i++, (*text)++)
	{
		if (!isdigit((unsigned char) **text))
			return false;
		*number = *number * 10 + (**text - '0');
	}
	return true;
}

static bool
take_character(const char **text, const char *any)
{
	if (**text == '\0' || strchr(any, **text) == NULL)
		return false;
	(*text)++;
	return true;
}

/* The part of a second after its point; what is below a microsecond is cut off. */
static bool
take_fraction(const char **text, fsec_t *fraction)
{
	int			scale = 100000;

	if (!isdigit((unsigned char) **text))
		return false;
	for (*fraction = 0; isdigit((unsigned char) **text); (*text)++, scale /= 10)
		*fraction += (**text - '0') * scale;
	return true;
}

static bool
take_day(const char **text, struct pg_tm *tm)
{
	return take_number(text, 4, &tm->tm_year) && take_character(text, "-") &&
		take_number(text, 2, &tm->tm_mon) && take_character(text, "-") &&
		take_number(text, 2, &tm->tm_mday) &&
		tm->tm_year >= 1 && tm->tm_mon >= 1 && tm->tm_mon <= MONTHS_PER_YEAR &&
		tm->tm_mday >= 1 && tm->tm_mday <= day_tab[isleap(tm->tm_year)][tm->tm_mon - 1];
}

static bool
take_clock(const char **text, struct pg_tm *tm, fsec_t *fraction)
{
	if (!take_number(text, 2, &tm->tm_hour) || !take_character(text, ":") ||
		!take_number(text, 2, &tm->tm_min) || tm->tm_hour > 23 || tm->tm_min > 59)
		return false;
	if (!take_character(text, ":"))
		return true;
	return take_number(text, 2, &tm->tm_sec) && tm->tm_sec <= 59 &&
		(!take_character(text, ".") || take_fraction(text, fraction));
}

/* An offset to the end of the text, in PostgreSQL's seconds west of Greenwich. */
static bool
take_offset(const char **text, int *west)
{
	bool		east = (**text == '+');
	int			hours;
	int			minutes = 0;

	*west = 0;
	if (take_character(text, "Zz"))
		return **text == '\0';
	if (!take_character(text, "+-") || !take_number(text, 2, &hours))
		return false;
	if (**text != '\0')
	{
		(void) take_character(text, ":");
		if (!take_number(text, 2, &minutes))
			return false;
	}
	*west = (hours * MINS_PER_HOUR + minutes) * SECS_PER_MINUTE * (east ? -1 : 1);
	return **text == '\0' && hours <= MAX_TZDISP_HOUR && minutes <= 59;
}

bool
calendar_read_time(const char *text, TimestampTz *at)
{
	struct pg_tm tm = {.tm_isdst = -1};
	fsec_t		fraction = 0;
	int			west;

	if (!take_day(&text, &tm) ||
		(*text != '\0' && !(take_character(&text, "Tt ") && take_clock(&text, &tm, &fraction))))
		return false;
	if (*text == '\0')
		west = DetermineTimeZoneOffset(&tm, zone);
	else if (!take_offset(&text, &west))
		return false;
	return tm2timestamp(&tm, fraction, &west, at) == 0 && calendar_is_time(*at);
}

bool
calendar_read_day(const char *text, DateADT *day)
{
	struct pg_tm tm;

	if (!take_day(&text, &tm) || *text != '\0')
		return false;
	*day = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
	return true;
}

char *
calendar_time_text(TimestampTz at)
{
	const int	utc = 0;

	return JsonEncodeDateTime(palloc(MAXDATELEN + 1), TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
}

/*
 * is_time(at timestamptz)
 *
 * For constraints and functions in SQL.
 */
Datum
commerce_is_time(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(calendar_is_time(PG_GETARG_TIMESTAMPTZ(0)));
}

/*
 * read_time(given text)
 *
 * A time of a request, for functions in SQL; NULL when it is none.
 */
Datum
commerce_read_time(PG_FUNCTION_ARGS)
{
	TimestampTz at;

	if (!calendar_read_time(text_to_cstring(PG_GETARG_TEXT_PP(0)), &at))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(at);
}

/*
 * moment_from_text(text)
 *
 * The same for what PostgREST compares a column with.
 */
Datum
commerce_moment_from_text(PG_FUNCTION_ARGS)
{
	TimestampTz at;

	if (!calendar_read_time(text_to_cstring(PG_GETARG_TEXT_PP(0)), &at))
		raise_invalid("time", NO_TIME);
	PG_RETURN_TIMESTAMPTZ(at);
}

/*
 * moment_to_json(moment)
 *
 * A time as answers and events have it.
 */
Datum
commerce_moment_to_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("\"%s\"", calendar_time_text(PG_GETARG_TIMESTAMPTZ(0)))));
}
