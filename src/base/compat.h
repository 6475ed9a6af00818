/*
 * compat.h
 *	  Differences between PostgreSQL versions; the only file that looks at PG_VERSION_NUM.
 */
#ifndef COMMERCE_COMPAT_H
#define COMMERCE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "commerce needs PostgreSQL 15 or later"
#endif

#include "utils/wait_event.h"

/* A function that does not return; before 18 there was an attribute for behind the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* The way into the next case; 19 wants a statement where a comment did before. */
#if PG_VERSION_NUM < 190000
#define pg_fallthrough __attribute__((fallthrough))
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#else
/* before 16 a setting's extra data was malloc'ed */
#define guc_malloc(elevel, size) malloc(size)
#endif

/* Makes one relation the range table of an executor state; from 16 on its privileges stand apart from it. */
#if PG_VERSION_NUM >= 160000
#define init_range_table(estate, rte) \
	do { \
		List	   *permissions = NIL; \
		(void) addRTEPermissionInfo(&permissions, rte); \
		exec_init_range_table(estate, rte, permissions); \
	} while (0)
#if PG_VERSION_NUM >= 180000
#define exec_init_range_table(estate, rte, permissions) \
	ExecInitRangeTable(estate, list_make1(rte), permissions, bms_make_singleton(1))
#else
#define exec_init_range_table(estate, rte, permissions) ExecInitRangeTable(estate, list_make1(rte), permissions)
#endif
#else
#define init_range_table(estate, rte) ExecInitRangeTable(estate, list_make1(rte))
#endif

/* Says that a column of the one relation of an executor state is being changed. */
#if PG_VERSION_NUM >= 160000
#define updated_columns(estate) (linitial_node(RTEPermissionInfo, (estate)->es_rteperminfos)->updatedCols)
#else
#define updated_columns(estate) (linitial_node(RangeTblEntry, (estate)->es_range_table)->updatedCols)
#endif
#define add_updated_column(estate, column) \
	(updated_columns(estate) = bms_add_member(updated_columns(estate), (column) - FirstLowInvalidHeapAttributeNumber))

/* What row triggers need for a row that somebody changes at the same time. */
#if PG_VERSION_NUM >= 160000
#define init_recheck(epq, estate) EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL)
#else
#define init_recheck(epq, estate) EvalPlanQualInit(epq, estate, NULL, NIL, -1)
#endif

/* Inserts the index entries of a row that is new; from 16 on it may be told to pass over those that only summarize. */
#if PG_VERSION_NUM >= 190000
#define insert_index_entries(target, slot, estate) ExecInsertIndexTuples(target, estate, 0, slot, NIL, NULL)
#elif PG_VERSION_NUM >= 160000
#define insert_index_entries(target, slot, estate) ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL, false)
#else
#define insert_index_entries(target, slot, estate) ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL)
#endif

/* Which indexes need entries of an updated row: all or none, and from 16 on those that sum up a page may alone. */
#if PG_VERSION_NUM >= 160000
#define IndexUpdate TU_UpdateIndexes
#define needs_index_entries(update) ((update) != TU_None)
#if PG_VERSION_NUM >= 190000
#define update_index_entries(target, slot, estate, update) \
	ExecInsertIndexTuples(target, estate, EIIT_IS_UPDATE | ((update) == TU_Summarizing ? EIIT_ONLY_SUMMARIZING : 0), slot, NIL, NULL)
#else
#define update_index_entries(target, slot, estate, update) \
	ExecInsertIndexTuples(target, slot, estate, true, false, NULL, NIL, (update) == TU_Summarizing)
#endif
#else
#define IndexUpdate bool
#define needs_index_entries(update) (update)
#define update_index_entries(target, slot, estate, update) \
	ExecInsertIndexTuples(target, slot, estate, true, false, NULL, NIL)
#endif

/* Updates a row as it is now, and waits for who else does; 19 has options. */
#if PG_VERSION_NUM >= 190000
#define update_tuple(rel, tid, slot, cid, failure, mode, update) \
	table_tuple_update(rel, tid, slot, cid, 0, InvalidSnapshot, InvalidSnapshot, true, failure, mode, update)
#else
#define update_tuple(rel, tid, slot, cid, failure, mode, update) \
	table_tuple_update(rel, tid, slot, cid, InvalidSnapshot, InvalidSnapshot, true, failure, mode, update)
#endif

/* Lets an index finish what it put off while rows were inserted; before 17 it puts nothing off. */
#if PG_VERSION_NUM >= 170000
#define end_index_inserts(index, info) index_insert_cleanup(index, info)
#else
#define end_index_inserts(index, info) ((void) 0)
#endif

/* Begins to scan a table by an index. */
#if PG_VERSION_NUM >= 190000
#define begin_index_scan(rel, index, snapshot, nkeys) index_beginscan(rel, index, snapshot, NULL, nkeys, 0, 0)
#elif PG_VERSION_NUM >= 180000
#define begin_index_scan(rel, index, snapshot, nkeys) index_beginscan(rel, index, snapshot, NULL, nkeys, 0)
#else
#define begin_index_scan(rel, index, snapshot, nkeys) index_beginscan(rel, index, snapshot, nkeys, 0)
#endif

/* CHECK constraints of a table that is being written to; 18 knows some that are not enforced, and virtual columns. */
#if PG_VERSION_NUM >= 180000
#define result_rel_checks(target) ((target)->ri_CheckConstraintExprs)
#define check_is_enforced(check) ((check)->ccenforced)
#define check_expression(check, rel) \
	((Expr *) expand_generated_columns_in_expr(stringToNode((check)->ccbin), rel, 1))
#else
#define result_rel_checks(target) ((target)->ri_ConstraintExprs)
#define check_is_enforced(check) true
#define check_expression(check, rel) ((Expr *) stringToNode((check)->ccbin))
#endif

/* A lexer of JSON in the database's encoding that looks into strings; from 17 on it may be given its memory. */
#if PG_VERSION_NUM >= 170000
#define make_json_lexer(json) makeJsonLexContextCstringLen(NULL, json, strlen(json), GetDatabaseEncoding(), true)
#else
#define make_json_lexer(json) makeJsonLexContextCstringLen(json, strlen(json), GetDatabaseEncoding(), true)
#endif

/* What a parser of JSON calls; from 16 on it may say that something is wrong. */
#if PG_VERSION_NUM >= 160000
#include "common/jsonapi.h"
typedef JsonParseErrorType json_action;
#define json_action_done JSON_SUCCESS
#else
typedef void json_action;
#define json_action_done
#endif

/* Whether a role may do something with a function. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_proc.h"
#define function_aclcheck(function, role, mode) object_aclcheck(ProcedureRelationId, function, role, mode)
#else
#define function_aclcheck(function, role, mode) pg_proc_aclcheck(function, role, mode)
#endif

/* A wait event's name in pg_stat_activity; before 17 it is just "Extension". */
#if PG_VERSION_NUM >= 170000
#define new_wait_event(name) WaitEventExtensionNew(name)
#define my_proc_number() MyProcNumber
#else
#define new_wait_event(name) PG_WAIT_EXTENSION
#define my_proc_number() (MyProc->pgprocno)
#endif

/* Takes away the limit on a transaction's time, which there is from 17 on. */
#if PG_VERSION_NUM >= 170000
#define set_no_transaction_timeout() SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE)
#else
#define set_no_transaction_timeout() ((void) 0)
#endif

/* A hash table in shared memory, of a fixed size. */
#if PG_VERSION_NUM >= 190000
#define init_shared_hash(name, size, info, flags) ShmemInitHash(name, size, info, flags)
#else
#define init_shared_hash(name, size, info, flags) ShmemInitHash(name, size, size, info, flags)
#endif

/* What the planner's hook is given besides; the hook for a relation that is going to be planned. */
#if PG_VERSION_NUM >= 190000
#define planner_argument , ExplainState *explain
#define planner_value , explain
#define relation_planned_hook build_simple_rel_hook
#define relation_planned_hook_type build_simple_rel_hook_type
#define relation_planned_arguments PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte
#define relation_planned_values root, rel, rte
#define relation_is_planned (rte->rtekind == RTE_RELATION)
#else
#define planner_argument
#define planner_value
#define relation_planned_hook get_relation_info_hook
#define relation_planned_hook_type get_relation_info_hook_type
#define relation_planned_arguments PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel
#define relation_planned_values root, relid, inhparent, rel
#define relation_is_planned true
#endif

/* Whether this session has the lock in this mode. */
#if PG_VERSION_NUM >= 170000
#define lock_held_by_me(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define lock_held_by_me(tag, mode) LockHeldByMe(tag, mode)
#endif

/* From 18 on the range table has what is grouped by. */
#ifndef QTW_IGNORE_GROUPEXPRS
#define QTW_IGNORE_GROUPEXPRS 0
#endif

#endif
