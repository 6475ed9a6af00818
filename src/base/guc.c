/*
 * guc.c
 *	  The extension's settings, in alphabetical order, and the calendar that commerce.timezone gives.
 *
 * What decides about money, stock or time is for the superuser to set (PGC_SUSET): a caller must not
 * move "today" for a function that runs with the owner's rights.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"

int			commerce_auto_confirm_after = 7 * SECS_PER_DAY;
bool		commerce_auto_prepare = true;
int			commerce_escrow_max_resources = 65536;
int			commerce_language = LANGUAGE_ENGLISH;
int			commerce_maintenance_interval = 1000;
int			commerce_outbox_retention = 7 * 24 * 60 * 60;
int			commerce_payment_ttl = 600;
int			commerce_sheet_ttl = 900;

/* read by functions in SQL, which see them by current_setting() */
static int	conversion_floor = 5;
static int	conversion_window = 600;

static char *commerce_timezone = NULL;
static pg_tz *timezone_in_force = NULL;

static const struct config_enum_entry language_options[] = {
	{"en", LANGUAGE_ENGLISH, false},
	{"ko", LANGUAGE_KOREAN, false},
	{NULL, 0, false}
};

PG_FUNCTION_INFO_V1(commerce_local_date);
PG_FUNCTION_INFO_V1(commerce_setting);

static bool
check_timezone(char **newval, void **extra, GucSource source)
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

static void
assign_timezone(const char *newval, void *extra)
{
	timezone_in_force = *(pg_tz **) extra;
}

void
guc_define(void)
{
	DefineCustomIntVariable("commerce.auto_confirm_after",
							"How long after its delivery an item is confirmed without the buyer.",
							NULL,
							&commerce_auto_confirm_after, 7 * SECS_PER_DAY, 0, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("commerce.auto_prepare",
							 "Sends the items of a paid order into preparation at once.",
							 "When off they stay PAID until the seller takes them.",
							 &commerce_auto_prepare, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("commerce.conversion_floor",
							"Percentage of order sheets that must become paid orders, below which an alert goes out.",
							NULL,
							&conversion_floor, 5, 0, 100, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("commerce.conversion_window",
							"Length of the windows in which the conversion of order sheets is judged.",
							NULL,
							&conversion_window, 600, 60, SECS_PER_DAY, PGC_SUSET, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("commerce.escrow_max_resources",
							"Most products and coupons that have a counter in shared memory at a time.",
							"Used when the library is preloaded.",
							&commerce_escrow_max_resources, 65536, 16, 16777216,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomEnumVariable("commerce.language",
							 "Language of error messages.",
							 "Over HTTP the request's Accept-Language comes first.",
							 &commerce_language, LANGUAGE_ENGLISH, language_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("commerce.maintenance_interval",
							"Time between two rounds of the maintenance worker in a database that is in use.",
							"A round folds the journals and frees what is overdue; 0 turns rounds off.",
							&commerce_maintenance_interval, 1000, 0, 3600000, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("commerce.outbox_retention",
							"How long events stay in the outbox at least.",
							"They stay longer while a subscription has not had them, and until the end of their day (UTC).",
							&commerce_outbox_retention, 7 * 24 * 60 * 60, 0, 14 * 24 * 60 * 60, PGC_SUSET, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("commerce.payment_ttl",
							"How long an order holds its stock while an external payment is pending.",
							NULL,
							&commerce_payment_ttl, 600, 1, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("commerce.sheet_ttl",
							"How long an order sheet can be used.",
							NULL,
							&commerce_sheet_ttl, 900, 1, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomStringVariable("commerce.timezone",
							   "Time zone in which the shop reckons days.",
							   NULL,
							   &commerce_timezone, "Asia/Seoul", PGC_SUSET, 0,
							   check_timezone, assign_timezone, NULL);
	MarkGUCPrefixReserved("commerce");
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
		timestamp2tm(at, &tz, &tm, &fsec, NULL, timezone_in_force) != 0)
		raise_error(ERROR_INVALID_REQUEST, "the moment has no calendar day");
	PG_RETURN_DATEADT(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE);
}

/*
 * setting(name text)
 *
 * What current_setting() says once the library is loaded, which calling this sees to.
 */
Datum
commerce_setting(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strncmp(name, "commerce.", strlen("commerce.")) != 0)
		raise_error(ERROR_INVALID_REQUEST, "\"%s\" is not a setting of commerce", name);
	return DirectFunctionCall1(show_config_by_name, PG_GETARG_DATUM(0));
}
