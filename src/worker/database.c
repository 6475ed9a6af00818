/*
 * database.c
 *	  Whether a database is the worker's to write.
 *
 * It is not where the extension is of a version that the library does not serve, where a superuser says so
 * (commerce.maintenance), where transactions are read-only unless they say otherwise, and where the orders or the
 * journals come from another server by logical replication: what a worker did there would be done twice, or against
 * what comes.  A database that is sent the catalogue alone has orders of its own.
 *
 * Settings of the database that came after the worker's start are read from the catalog.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/sql.h"
#include "base/version.h"
#include "worker/database.h"

static KeptOut
settings_keep_out(void)
{
	static SqlStatement read = {
		"SELECT pg_catalog.bool_or(o.option_name OPERATOR(pg_catalog.=) 'commerce.maintenance' "
		"    AND NOT o.option_value::pg_catalog.bool) AS off, "
		"  pg_catalog.bool_or(o.option_name OPERATOR(pg_catalog.=) 'default_transaction_read_only' "
		"    AND o.option_value::pg_catalog.bool) AS read_only "
		"FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig) o "
		"WHERE s.setdatabase OPERATOR(pg_catalog.=) $1 AND s.setrole OPERATOR(pg_catalog.=) 0 "
		"AND o.option_name OPERATOR(pg_catalog.=) ANY ('{commerce.maintenance,default_transaction_read_only}'::pg_catalog.text[])",
		1, {OIDOID}
	};
	SqlResult	settings = sql_query(&read, SQL_ARGS(ObjectIdGetDatum(MyDatabaseId)));

	(void) result_next(&settings);
	if (!commerce_maintenance || result_bool(&settings, "off"))
		return KEPT_OUT_OFF;
	if (DefaultXactReadOnly || result_bool(&settings, "read_only"))
		return KEPT_OUT_READ_ONLY;
	return KEPT_OUT_NOT;
}

/* Whether orders or journals are another server's, by a subscription that is enabled or not. */
static bool
is_subscriber(void)
{
	static const CatalogRelation tables[] = {TABLE_ORDERS, TABLE_ORDER_ITEM_EVENTS, TABLE_PAYMENTS,
	TABLE_BALANCE_ENTRIES, TABLE_STOCK_ENTRIES, TABLE_COUPON_ISSUES};
	static SqlStatement find = {
		"SELECT FROM pg_catalog.pg_subscription_rel r WHERE r.srrelid OPERATOR(pg_catalog.=) ANY ($1) LIMIT 1",
		1, {OIDARRAYOID}
	};
	Datum		oids[lengthof(tables)];

	for (int i = 0; i < (int) lengthof(tables); i++)
		oids[i] = ObjectIdGetDatum(catalog_relation(tables[i]));
	return sql_exists(&find, SQL_ARGS(PointerGetDatum(construct_array(oids, lengthof(tables), OIDOID, sizeof(Oid),
																	  true, TYPALIGN_INT))));
}

KeptOut
database_keeps_out(void)
{
	KeptOut		kept_out;

	if (!version_is_served())
		return KEPT_OUT_VERSION;
	kept_out = settings_keep_out();

	if (kept_out == KEPT_OUT_NOT && is_subscriber())
		kept_out = KEPT_OUT_SUBSCRIBER;
	return kept_out;
}
