/*
 * catalog.c
 *	  Finding in the database what schema.h names: the one place that knows which schema it is in.
 *
 * What was found is kept for the backend's life, and looked up again when it has changed: an order names some
 * forty relations and labels, and each look-up costs as much as reading a row.  With each look-up goes one at where a
 * table's rows are (storage.c), and, if the gate was closed meanwhile, one at the extension's version (version.c).
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/storage.h"
#include "base/version.h"

PG_FUNCTION_INFO_V1(commerce_relation_obstacles);

/* What schema.h calls the schemas. */
#define COMMERCE	"commerce"
#define PRIVATE		"commerce_private"

#define MAX_LABELS	16

typedef struct RelationEntry
{
	const char *schema;
	const char *name;
	Oid			oid;			/* InvalidOid: to be looked up */
} RelationEntry;

typedef struct TypeEntry
{
	const char *schema;
	const char *name;
	const char *const *labels;
	int			nlabels;
	bool		found;			/* the oids are those of today */
	Oid			oids[MAX_LABELS];	/* of the labels */
} TypeEntry;

#define RELATION_ENTRY(constant, schema, name) [constant] = {schema, name, InvalidOid},
static RelationEntry relations[] = {
	COMMERCE_RELATIONS(RELATION_ENTRY)
};

#define LABEL_NAME(type, label) #label,
#define TYPE_LABELS(constant, schema, name) static const char *const constant##_labels[] = {constant##_LABELS(LABEL_NAME)};
COMMERCE_TYPES(TYPE_LABELS)

#define TYPE_ENTRY(constant, schema, name) \
	[TYPE_##constant] = {schema, name, constant##_labels, lengthof(constant##_labels)},
static TypeEntry types[] = {
	COMMERCE_TYPES(TYPE_ENTRY)
};

static bool callbacks_registered = false;
static bool version_known = false;	/* the library serves the extension; an update closes the gate, which tells us */
static uint64 relation_changes = 0;
static uint64 label_changes = 0;

/* A relation's definition has changed, or (InvalidOid) any may have. */
static void
forget_relation(Datum arg, Oid relid)
{
	relation_changes++;
	if (relid == InvalidOid || relid == relations[TABLE_GATE].oid)
		version_known = false;
	for (int i = 0; i < (int) lengthof(relations); i++)
		if (relid == InvalidOid || relations[i].oid == relid)
			relations[i].oid = InvalidOid;
}

/* A schema has got another name, or gone. */
static void
forget_relations(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_relation(arg, InvalidOid);
}

static void
forget_labels(Datum arg, int cacheid, uint32 hashvalue)
{
	label_changes++;
	for (int i = 0; i < (int) lengthof(types); i++)
		types[i].found = false;
}

static void
register_callbacks(void)
{
	if (callbacks_registered)
		return;
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_relations, (Datum) 0);
	CacheRegisterSyscacheCallback(ENUMOID, forget_labels, (Datum) 0);
	callbacks_registered = true;
}

static Oid
find_relation(CatalogRelation relation)
{
	const RelationEntry *entry = &relations[relation];
	Oid			schema = get_namespace_oid(entry->schema, true);
	Oid			found = OidIsValid(schema) ? get_relname_relid(entry->name, schema) : InvalidOid;
	const char *obstacle;

	if (!OidIsValid(found))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no %s, which commerce finds by this name", catalog_relation_name(relation)),
				 errhint("If it or its schema has been renamed, give it its name back.")));
	obstacle = storage_obstacle(found);
	if (obstacle)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("commerce cannot work with table %s: %s", catalog_relation_name(relation), obstacle)));
	return found;
}

/* Finds a relation, and keeps what was found unless something has changed while it was looked for. */
static Oid
look_up(CatalogRelation relation)
{
	uint64		before = relation_changes;
	Oid			found = find_relation(relation);

	if (before == relation_changes)
		relations[relation].oid = found;
	return found;
}

static void
require_version(void)
{
	uint64		before = relation_changes;

	if (version_known)
		return;
	version_require();
	look_up(TABLE_GATE);
	version_known = before == relation_changes;
}

bool
catalog_is_before(void)
{
	register_callbacks();
	require_version();
	return version_is_before();
}

Oid
catalog_relation(CatalogRelation relation)
{
	if (OidIsValid(relations[relation].oid))
		return relations[relation].oid;
	register_callbacks();
	require_version();
	return look_up(relation);
}

const char *
catalog_relation_name(CatalogRelation relation)
{
	return psprintf("%s.%s", relations[relation].schema, relations[relation].name);
}

int64
catalog_nextval(CatalogRelation sequence)
{
	return nextval_internal(catalog_relation(sequence), false);
}

static void
find_labels(TypeEntry *type)
{
	Oid			typid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(type->name),
										ObjectIdGetDatum(get_namespace_oid(type->schema, false)));

	StaticAssertStmt(lengthof(ORDER_ITEM_STATUS_labels) <= MAX_LABELS, "no type has more labels");
	if (!OidIsValid(typid))
		elog(ERROR, "type %s.%s does not exist", type->schema, type->name);
	for (int i = 0; i < type->nlabels; i++)
	{
		type->oids[i] = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid, ObjectIdGetDatum(typid),
										CStringGetDatum(type->labels[i]));
		if (!OidIsValid(type->oids[i]))
			elog(ERROR, "type %s.%s has no label \"%s\"", type->schema, type->name, type->labels[i]);
	}
}

static const TypeEntry *
find_type(CatalogType type)
{
	TypeEntry  *entry = &types[type];

	if (!entry->found)
	{
		uint64		changes;

		register_callbacks();
		changes = label_changes;
		find_labels(entry);
		entry->found = (changes == label_changes);
	}
	return entry;
}

const char *
catalog_label_name(CatalogType type, int label)
{
	return types[type].labels[label];
}

Datum
catalog_label_text(CatalogType type, int label)
{
	return CStringGetTextDatum(catalog_label_name(type, label));
}

Datum
catalog_label(CatalogType type, int label)
{
	return ObjectIdGetDatum(find_type(type)->oids[label]);
}

int
catalog_label_of(CatalogType type, Datum value)
{
	const TypeEntry *entry = find_type(type);

	for (int i = 0; i < entry->nlabels; i++)
		if (entry->oids[i] == DatumGetObjectId(value))
			return i;
	elog(ERROR, "%u is no label of type %s.%s that the library knows", DatumGetObjectId(value),
		 entry->schema, entry->name);
}

Oid
catalog_trigger_function(const char *name)
{
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
										   PointerGetDatum(buildoidvector(NULL, 0)),
										   ObjectIdGetDatum(get_namespace_oid(PRIVATE, false)));

	if (!OidIsValid(function))
		elog(ERROR, "function %s.%s() does not exist", PRIVATE, name);
	return function;
}

/*
 * relation_obstacles()
 *
 * (relation text, obstacle text) of each relation that the library could not work with.
 */
Datum
commerce_relation_obstacles(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < (int) lengthof(relations); i++)
	{
		Oid			schema = get_namespace_oid(relations[i].schema, true);
		const char *obstacle = storage_obstacle(get_relname_relid(relations[i].name, schema));
		Datum		values[2];
		bool		nulls[2] = {false, false};

		if (obstacle == NULL)
			continue;
		values[0] = CStringGetTextDatum(catalog_relation_name(i));
		values[1] = CStringGetTextDatum(obstacle);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
