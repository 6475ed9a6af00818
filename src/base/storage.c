/*
 * storage.c
 *	  Whether a relation keeps its rows where the library reads and writes them: in PostgreSQL's own table of that name.
 *
 * Rows are written and read without the executor, and so past whatever sends them to another place: partitions, a
 * foreign server, another access method, the shards of Citus.  They would be lost there, and nobody told.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/storage.h"

/* Citus lists the tables whose rows are in shards in a table of its own. */
static bool
is_distributed(Oid relation)
{
	Oid			list = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	bool		found;

	if (!OidIsValid(list))
		return false;
	rel = table_open(list, AccessShareLock);
	ScanKeyInit(&key, get_attnum(list, "logicalrelid"), BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

const char *
storage_obstacle(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	char		kind;
	Oid			method;

	if (!HeapTupleIsValid(tuple))
		return "it does not exist";
	kind = ((Form_pg_class) GETSTRUCT(tuple))->relkind;
	method = ((Form_pg_class) GETSTRUCT(tuple))->relam;
	ReleaseSysCache(tuple);
	switch (kind)
	{
		case RELKIND_INDEX:
		case RELKIND_SEQUENCE:
			return NULL;
		case RELKIND_RELATION:
			break;
		case RELKIND_PARTITIONED_TABLE:
			return "it is partitioned";
		case RELKIND_FOREIGN_TABLE:
			return "it is a foreign table";
		default:
			return "it is no table";
	}
	if (method != HEAP_TABLE_AM_OID)
		return psprintf("its access method is \"%s\"", get_am_name(method));
	return is_distributed(relation) ? "Citus has distributed it" : NULL;
}
