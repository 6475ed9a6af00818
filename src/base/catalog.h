/*
 * catalog.h
 *	  Finding in the database what schema.h names.
 */
#ifndef COMMERCE_CATALOG_H
#define COMMERCE_CATALOG_H

#include "base/schema.h"

#define RELATION_CONSTANT(constant, schema, name) constant,
typedef enum CatalogRelation {COMMERCE_RELATIONS(RELATION_CONSTANT) CATALOG_RELATIONS} CatalogRelation;

#define TYPE_CONSTANT(constant, schema, name) TYPE_##constant,
typedef enum CatalogType {COMMERCE_TYPES(TYPE_CONSTANT)} CatalogType;

/*
 * Whether the extension in the database is the version before this library's, which has neither the columns nor the
 * labels that this version adds.  It does not change within a call, which holds the gate.
 */
extern bool catalog_is_before(void);

/* The relation's OID. */
extern Oid	catalog_relation(CatalogRelation relation);

/* The relation's name as in an error message: schema and name. */
extern const char *catalog_relation_name(CatalogRelation relation);

/* The next value of a sequence. */
extern int64 catalog_nextval(CatalogRelation sequence);

/* A label's name, as a C string and as text. */
extern const char *catalog_label_name(CatalogType type, int label);
extern Datum catalog_label_text(CatalogType type, int label);

/* A label's value as a column has it; and the label that a column's value is. */
extern Datum catalog_label(CatalogType type, int label);
extern int	catalog_label_of(CatalogType type, Datum value);

/* A trigger function of the extension. */
extern Oid	catalog_trigger_function(const char *name);

#endif
