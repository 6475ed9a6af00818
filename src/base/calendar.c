/*
 * calendar.c
 *	  Days, as the shop reckons them: in commerce.timezone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "base/calendar.h"
#include "base/compat.h"
#include "base/error.h"

PG_FUNCTION_INFO_V1(commerce_local_date);

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
	Interval	interval = {0, days, 0};
	Datum		name = CStringGetTextDatum(pg_get_timezone_name(zone));
	Datum		local = DirectFunctionCall2(timestamptz_zone, name,
										TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));

	local = DirectFunctionCall2(timestamp_pl_interval, local, IntervalPGetDatum(&interval));
	return DatumGetTimestampTz(DirectFunctionCall2(timestamp_zone, name, local));
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
