/*
 * currency.c
 *	  The shop's one currency; owns commerce_private.fixed_currency.
 *
 * It is a setting until there are orders.  The table has the currency of the orders there are, and no row while
 * that is the default: the first order in another one writes it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/currency.h"
#include "base/error.h"
#include "base/sql.h"

#define CODE_LENGTH		3
#define DEFAULT_CODE	"KRW"

char	   *commerce_currency = NULL;

PG_FUNCTION_INFO_V1(commerce_require_currency);
PG_FUNCTION_INFO_V1(commerce_shop_currency);

/* Currencies of ISO 4217 whose smallest unit is not a hundredth. */
static const struct
{
	const char *code;
	int			decimals;
}			units[] = {
	{"BHD", 3}, {"BIF", 0}, {"CLF", 4}, {"CLP", 0}, {"DJF", 0}, {"GNF", 0}, {"IQD", 3}, {"ISK", 0},
	{"JOD", 3}, {"JPY", 0}, {"KMF", 0}, {"KRW", 0}, {"KWD", 3}, {"LYD", 3}, {"OMR", 3}, {"PYG", 0},
	{"RWF", 0}, {"TND", 3}, {"UGX", 0}, {"UYI", 0}, {"UYW", 4}, {"VND", 0}, {"VUV", 0}, {"XAF", 0},
	{"XOF", 0}, {"XPF", 0},
};

bool
currency_check(char **newval, void **extra, GucSource source)
{
	if (strlen(*newval) == CODE_LENGTH && strspn(*newval, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == CODE_LENGTH)
		return true;
	GUC_check_errdetail("A currency is a code of ISO 4217, three capital letters such as KRW.");
	return false;
}

int
currency_decimals(void)
{
	for (int i = 0; i < (int) lengthof(units); i++)
		if (strcmp(units[i].code, commerce_currency) == 0)
			return units[i].decimals;
	return 2;
}

/* Makes the setting the currency of the orders, of which there are none. */
static void
store_currency(void)
{
	static SqlStatement store = {
		"INSERT INTO commerce_private.fixed_currency AS c (code) VALUES ($1) "
		"ON CONFLICT (single) DO UPDATE SET code = EXCLUDED.code", 1, {TEXTOID}
	};

	(void) sql_do(&store, SQL_ARGS(CStringGetTextDatum(commerce_currency)));
}

void
currency_require(void)
{
	static SqlStatement read = {
		"SELECT c.code, pg_catalog.age(c.xmin) OPERATOR(pg_catalog.>) 0 AS settled FROM commerce_private.fixed_currency c",
		.snapshot = SQL_LATEST
	};
	static SqlStatement any_order = {
		"(SELECT FROM commerce.orders LIMIT 1) UNION ALL (SELECT FROM commerce_private.archived LIMIT 1)", .snapshot = SQL_LATEST
	};
	static char required[CODE_LENGTH + 1] = "";	/* what was committed, when it was last looked at */
	SqlResult	stored;
	const char *code = DEFAULT_CODE;
	bool		settled = true;

	if (strcmp(required, commerce_currency) == 0)
		return;
	stored = sql_query(&read, NULL);
	if (result_next(&stored))
	{
		code = result_text(&stored, "code");
		settled = result_bool(&stored, "settled");
	}
	if (strcmp(code, commerce_currency) != 0)
	{
		if (sql_exists(&any_order, NULL))
			raise_invalid("commerce.currency", "is %s, but the orders of the shop are in %s", commerce_currency, code);
		store_currency();
	}
	else if (settled)
		strlcpy(required, code, sizeof(required));
}

/*
 * require_currency()
 *
 * For an order that is not inserted yet.
 */
Datum
commerce_require_currency(PG_FUNCTION_ARGS)
{
	currency_require();
	PG_RETURN_VOID();
}

/*
 * shop_currency(OUT code text, OUT decimals int)
 */
Datum
commerce_shop_currency(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	Datum		values[2] = {CStringGetTextDatum(commerce_currency), Int32GetDatum(currency_decimals())};
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}
