/*
 * version.c
 *	  Whether this library can serve the extension as it is in the database.
 *
 * Library and script are updated one after the other: the files are installed, the server is restarted, each
 * database gets ALTER EXTENSION UPDATE.  In between, orders go on: a library serves the version of the script that it
 * came with and the one before.  Of others it knows neither tables nor functions, and does nothing.
 *
 * While a script runs, the version in the catalog is the one that the script leads to.  An update of several steps
 * comes by versions that are not served any more; there it is enough that the library is not older.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/version.h"

PG_FUNCTION_INFO_V1(commerce_require_library);

/* The Makefile says these; there may be no version before: "". */
static const char *const this_version = COMMERCE_VERSION;
static const char *const version_before = COMMERCE_VERSION_BEFORE;

static char found_last[64] = "";
static uint64 updates = 0;

/* The version in the database, or NULL. */
static char *
extension_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("commerce"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		version = isnull ? NULL : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/* Whether a version, numbers with points between them, is a later one than another. */
static bool
is_later(const char *version, const char *other)
{
	while (*version != '\0' || *other != '\0')
	{
		char	   *rest;
		char	   *other_rest;
		unsigned long number = strtoul(version, &rest, 10);
		unsigned long other_number = strtoul(other, &other_rest, 10);

		if (number != other_number)
			return number > other_number;
		version = rest + strcspn(rest, "0123456789");
		other = other_rest + strcspn(other_rest, "0123456789");
	}
	return false;
}

uint64
version_updates(void)
{
	return updates;
}

static bool
serves(const char *version)
{
	if (version == NULL || strcmp(version, this_version) == 0)
		return true;
	return creating_extension ? !is_later(version, this_version) : strcmp(version, version_before) == 0;
}

bool
version_is_before(void)
{
	return found_last[0] != '\0' && strcmp(found_last, this_version) != 0;
}

bool
version_is_served(void)
{
	return serves(extension_version());
}

void
version_require(void)
{
	const char *version = extension_version();

	if (version && strncmp(version, found_last, sizeof(found_last) - 1) != 0)
	{
		if (found_last[0] != '\0')
			updates++;
		strlcpy(found_last, version, sizeof(found_last));
	}
	if (serves(version))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("version %s of the library of commerce cannot serve version %s of the extension", this_version, version),
			 is_later(version, this_version) ?
			 errhint("Install the library of that version; if it is installed, restart the server, or reconnect where it is not preloaded.") :
			 errhint("Run ALTER EXTENSION commerce UPDATE in this database.")));
}

/*
 * require_library()
 *
 * What a script calls first: raises an error when the library in memory is older than the script.
 */
Datum
commerce_require_library(PG_FUNCTION_ARGS)
{
	version_require();
	PG_RETURN_VOID();
}
