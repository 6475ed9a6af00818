/*
 * guc.c
 *	  The extension's settings, in alphabetical order.  Those that the layer itself reads belong to error.c
 *	  (commerce.language), calendar.c (commerce.timezone) and currency.c (commerce.currency); the others are
 *	  variables of guc.h.
 *
 * What decides about money, stock or time is for the superuser to set (PGC_SUSET): a caller must not
 * move "today" for a function that runs with the owner's rights.
 */
#include "postgres.h"

#include <limits.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/calendar.h"
#include "base/args.h"
#include "base/compat.h"
#include "base/currency.h"
#include "base/error.h"
#include "base/guc.h"

int			commerce_auto_confirm_after = 7 * SECS_PER_DAY;
bool		commerce_auto_prepare = true;
int			commerce_cell_wait = 1000;
int			commerce_charge_max = 99999999;
int			commerce_charge_unit = 100;
int			commerce_escrow_max_resources = 65536;
int			commerce_jwt_subject = JWT_SUBJECT_ID;
char	   *commerce_jwt_user_claim = NULL;
bool		commerce_maintenance = true;
int			commerce_maintenance_databases = 64;
int			commerce_maintenance_interval = 1000;
int			commerce_free_shipping_from = 0;
int			commerce_max_pending_orders = 10;
int			commerce_outbox_retention = 7 * 24 * 60 * 60;
int			commerce_payment_ttl = 600;
int			commerce_payment_ttl_max = 7 * SECS_PER_DAY;
int			commerce_sheet_ttl = 900;
int			commerce_shipping_fee = 0;

/* read by functions in SQL */
#define ARCHIVE_LEAST	(31 * SECS_PER_DAY)	/* what is looked back at for alerts, reports of a month and sheets is not archived */

static int	archive_after = 0;
static bool direct_charge = true;
static char *payment_ttls = NULL;

/*
 * Reads one "channel=time" of commerce.payment_ttls, which begins at *rest, and goes behind it; the channel is
 * *length bytes from *channel.  False: it is not of this form.
 */
static bool
next_ttl(const char **rest, const char **channel, size_t *length, int *seconds)
{
	const char *equals;
	char		time[32];
	size_t		n;

	*rest += strspn(*rest, ", \t");
	*channel = *rest;
	equals = strchr(*rest, '=');
	if (equals == NULL)
		return false;
	for (*length = equals - *rest; *length > 0 && (*rest)[*length - 1] == ' ';)
		(*length)--;
	n = strcspn(equals + 1, ",");
	if (*length == 0 || n >= sizeof(time))
		return false;
	memcpy(time, equals + 1, n);
	time[n] = '\0';
	*rest = equals + 1 + n;
	*rest += strspn(*rest, ", \t");
	return parse_int(time, seconds, GUC_UNIT_S, NULL) && *seconds > 0;
}

static bool
check_payment_ttls(char **newval, void **extra, GucSource source)
{
	const char *rest = *newval;
	const char *channel;
	size_t		length;
	int			seconds;

	for (rest += strspn(rest, ", \t"); *rest;)
		if (!next_ttl(&rest, &channel, &length, &seconds))
		{
			GUC_check_errdetail("It is a list of \"channel=time\", such as \"virtual_account=2d, card=10min\".");
			return false;
		}
	return true;
}

bool
guc_channel_ttl(const char *channel, int64 *seconds)
{
	const char *rest = payment_ttls;
	const char *named;
	size_t		length;
	int			ttl;
	bool		any = false;

	while (rest && *rest && next_ttl(&rest, &named, &length, &ttl))
	{
		any = true;
		if (strlen(channel) == length && memcmp(channel, named, length) == 0)
		{
			*seconds = ttl;
			return true;
		}
	}
	return !any;
}

/* read by functions in SQL, which see them by current_setting() */
static int	conversion_floor = 5;
static int	conversion_window = 600;

static char *commerce_timezone = NULL;

static const struct config_enum_entry language_options[] = {
	{"en", LANGUAGE_ENGLISH, false},
	{"ko", LANGUAGE_KOREAN, false},
	{NULL, 0, false}
};

static const struct config_enum_entry subject_options[] = {
	{"id", JWT_SUBJECT_ID, false},
	{"external_id", JWT_SUBJECT_EXTERNAL_ID, false},
	{NULL, 0, false}
};

PG_FUNCTION_INFO_V1(commerce_setting);

/* Whether a setting is ours already, and not just a name that somebody has given a value to. */
static bool
is_defined(const char *name)
{
	return GetConfigOption(name, true, false) != NULL &&
		!(GetConfigOptionFlags(name, true) & GUC_CUSTOM_PLACEHOLDER);
}

static void
define_int(const char *name, const char *description, const char *more, int *variable, int least, int most,
		   GucContext context, int flags)
{
	if (!is_defined(name))
		DefineCustomIntVariable(name, description, more, variable, *variable, least, most, context, flags,
								NULL, NULL, NULL);
}

static bool
check_archive_after(int *newval, void **extra, GucSource source)
{
	if (*newval == 0 || *newval >= ARCHIVE_LEAST)
		return true;
	GUC_check_errdetail("It must be 0, which turns archiving off, or at least 31 days.");
	return false;
}

static void
define_archive_after(const char *name, const char *description, const char *more)
{
	if (!is_defined(name))
		DefineCustomIntVariable(name, description, more, &archive_after, 0, 0, INT_MAX, PGC_SUSET, GUC_UNIT_S,
								check_archive_after, NULL, NULL);
}

static void
define_bool(const char *name, const char *description, const char *more, bool *variable, GucContext context)
{
	if (!is_defined(name))
		DefineCustomBoolVariable(name, description, more, variable, *variable, context, 0, NULL, NULL, NULL);
}

static void
define_language(const char *name, const char *description, const char *more)
{
	if (!is_defined(name))
		DefineCustomEnumVariable(name, description, more, &error_language, error_language, language_options,
								 PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_channels(const char *name, const char *description, const char *more)
{
	if (!is_defined(name))
		DefineCustomStringVariable(name, description, more, &payment_ttls, "", PGC_SUSET, GUC_LIST_INPUT,
								   check_payment_ttls, NULL, NULL);
}

static void
define_currency(const char *name, const char *description, const char *more)
{
	if (!is_defined(name))
		DefineCustomStringVariable(name, description, more, &commerce_currency, "KRW", PGC_SUSET, 0,
								   currency_check, NULL, NULL);
}

static void
define_subject(const char *name, const char *description, const char *more)
{
	if (!is_defined(name))
		DefineCustomEnumVariable(name, description, more, &commerce_jwt_subject, commerce_jwt_subject, subject_options,
								 PGC_SUSET, 0, NULL, NULL, NULL);
}

static bool
check_user_claim(char **newval, void **extra, GucSource source)
{
	return (*newval)[0] != '\0';
}

static void
define_user_claim(const char *name, const char *description)
{
	if (!is_defined(name))
		DefineCustomStringVariable(name, description, NULL, &commerce_jwt_user_claim, "sub", PGC_SUSET, 0,
								   check_user_claim, NULL, NULL);
}

static void
define_timezone(const char *name, const char *description)
{
	if (!is_defined(name))
		DefineCustomStringVariable(name, description, NULL, &commerce_timezone, "Asia/Seoul", PGC_SUSET, 0,
								   calendar_check_zone, calendar_assign_zone, NULL);
}

/* Goes on where it ended when it ran out of memory before: the library is then loaded again. */
void
guc_define(void)
{
	define_archive_after("commerce.archive_after",
						 "How long after it was over an order is moved into the archive.",
						 "0: nothing is archived; otherwise at least 31 days.");
	define_int("commerce.auto_confirm_after",
			   "How long after its delivery an item is confirmed without the buyer.",
			   NULL,
			   &commerce_auto_confirm_after, 0, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S);
	define_bool("commerce.auto_prepare",
				"Sends the items of a paid order into preparation at once.",
				"When off they stay PAID until the seller takes them.",
				&commerce_auto_prepare, PGC_SUSET);
	define_int("commerce.cell_wait",
			   "How long who is short waits for units that other cells may have.",
			   "Then the answer is SERVICE_BUSY. A shop of one cell does not wait.",
			   &commerce_cell_wait, 0, 60000, PGC_SUSET, GUC_UNIT_MS);
	define_int("commerce.charge_max",
			   "Most that can be charged at a time.",
			   "In the smallest unit of commerce.currency, as all amounts.",
			   &commerce_charge_max, 1, INT_MAX, PGC_SUSET, 0);
	define_int("commerce.charge_unit",
			   "Unit of which a charge must be a multiple.",
			   NULL,
			   &commerce_charge_unit, 1, INT_MAX, PGC_SUSET, 0);
	define_int("commerce.conversion_floor",
			   "Percentage of order sheets that must become paid orders, below which an alert goes out.",
			   NULL,
			   &conversion_floor, 0, 100, PGC_SUSET, 0);
	define_int("commerce.conversion_window",
			   "Length of the windows in which the conversion of order sheets is judged.",
			   NULL,
			   &conversion_window, 60, SECS_PER_DAY, PGC_SUSET, GUC_UNIT_S);
	define_currency("commerce.currency",
					"Currency of the shop, a code of ISO 4217.",
					"Fixed once there are orders. Nothing is converted.");
	define_bool("commerce.direct_charge",
				"Lets charge_balance over REST charge at once, as the user asked for.",
				"Off, it asks a payment provider. In SQL its caller is trusted to know that the money came.",
				&direct_charge, PGC_SUSET);
	define_int("commerce.escrow_max_resources",
			   "Most products and coupons that have a counter in shared memory at a time.",
			   "Used when the library is preloaded.",
			   &commerce_escrow_max_resources, 16, 16777216,
			   process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP, 0);
	define_int("commerce.free_shipping_from",
			   "Amount of goods from which the shop's own lines without a fee of their own are sent free.",
			   "0: none is sent free.",
			   &commerce_free_shipping_from, 0, INT_MAX, PGC_SUSET, 0);
	define_subject("commerce.jwt_subject",
				   "Whom the subject of a request's token names: the user with this id, or with this external_id.",
				   "The one or the other: with external_id a subject \"42\" is not user 42. sign_up over REST needs external_id.");
	define_user_claim("commerce.jwt_user_claim",
					  "Claim of a request's token that is its subject.");
	define_language("commerce.language",
					"Language of error messages.",
					"Over HTTP the request's Accept-Language comes first.");
	define_bool("commerce.maintenance",
				"Lets the maintenance worker work in this database.",
				"For ALTER DATABASE: what others write there is then left alone. Jobs and calls are not concerned.",
				&commerce_maintenance, PGC_SUSET);
	define_int("commerce.maintenance_databases",
			   "Most databases that can have a maintenance worker at a time.",
			   "Used when the library is preloaded.",
			   &commerce_maintenance_databases, 1, 10000,
			   process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP, 0);
	define_int("commerce.maintenance_interval",
			   "Time between two rounds of the maintenance worker in a database that is in use.",
			   "A round folds the journals and frees what is overdue; 0 turns rounds off.",
			   &commerce_maintenance_interval, 0, 3600000, PGC_SIGHUP, GUC_UNIT_MS);
	define_int("commerce.max_pending_orders",
			   "How many unpaid orders, and how many unpaid charges, a user can have.",
			   NULL,
			   &commerce_max_pending_orders, 1, INT_MAX, PGC_SUSET, 0);
	define_int("commerce.outbox_retention",
			   "How long events stay in the outbox at least.",
			   "They stay longer while a subscription has not had them, and until the end of their day (UTC).",
			   &commerce_outbox_retention, 0, 14 * SECS_PER_DAY, PGC_SUSET, GUC_UNIT_S);
	define_int("commerce.payment_ttl",
			   "How long an order holds its stock while an external payment is pending.",
			   NULL,
			   &commerce_payment_ttl, 1, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S);
	define_int("commerce.payment_ttl_max",
			   "The longest time to pay that a call can ask for, and how long an unpaid order can be paid anew.",
			   NULL,
			   &commerce_payment_ttl_max, 1, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S);
	define_channels("commerce.payment_ttls",
					"How long an order holds its stock by the channel it is paid by: \"virtual_account=2d, card=10min\".",
					"When it names any, these are the channels there are.");
	define_int("commerce.sheet_ttl",
			   "How long an order sheet can be used.",
			   NULL,
			   &commerce_sheet_ttl, 1, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S);
	define_int("commerce.shipping_fee",
			   "Shipping fee of the shop's own lines without a fee of their own, once per order.",
			   NULL,
			   &commerce_shipping_fee, 0, INT_MAX, PGC_SUSET, 0);
	define_timezone("commerce.timezone",
					"Time zone in which the shop reckons days.");
	MarkGUCPrefixReserved("commerce");
}

/*
 * setting(name text)
 *
 * What current_setting() says once the library is loaded, which calling this sees to.
 */
Datum
commerce_setting(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(arg_text(fcinfo, 0, "name"));

	if (strncmp(name, "commerce.", strlen("commerce.")) != 0)
		raise_invalid(name, "is not a setting of commerce");
	return DirectFunctionCall1(show_config_by_name, PG_GETARG_DATUM(0));
}
