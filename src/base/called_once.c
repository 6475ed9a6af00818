/*
 * called_once.c
 *	  Refusing (f(…)).* of a function that writes.
 *
 * PostgreSQL turns it into one call for each column of the result: sixteen orders instead of one.  The planner asks a
 * support function about each call that it simplifies; this one looks for other field selections of an equal call in
 * the same query, but for its subqueries, which the planner has not replaced yet.  It looks once, not once for each of
 * what may be thousands of calls.
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "utils/lsyscache.h"

#include "base/compat.h"

PG_FUNCTION_INFO_V1(commerce_called_once);

typedef struct Search
{
	Oid			function;
	List	   *calls;			/* of it, of which a field has been selected */
	bool		found;			/* two that are equal */
} Search;

/* What has been looked through last. */
static struct
{
	const PlannerInfo *root;	/* NULL: nothing, or what is gone */
	Oid			function;
	int			relations;		/* there were then; a subquery that is pulled up brings its own */
} seen;

static bool find_equal_calls(Node *node, void *context);

/* A row of VALUES or an action of MERGE: its calls are others than those of its like, though they be equal. */
static bool
find_apart(Node *node, Search *search)
{
	int			outside = list_length(search->calls);
	bool		found = expression_tree_walker(node, find_equal_calls, search);

	search->calls = list_truncate(search->calls, outside);
	return found;
}

static bool
is_rows(Node *node)
{
	return IsA(node, List) && linitial((List *) node) != NULL && IsA(linitial((List *) node), List);
}

static bool
find_equal_calls(Node *node, void *context)
{
	Search	   *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, FieldSelect) && IsA(((FieldSelect *) node)->arg, FuncExpr))
	{
		FuncExpr   *call = (FuncExpr *) ((FieldSelect *) node)->arg;

		if (call->funcid == search->function)
		{
			search->found = search->found || list_member(search->calls, call);
			search->calls = lappend(search->calls, call);
		}
	}
	if (IsA(node, MergeAction))
		return find_apart(node, search);
	if (is_rows(node))
	{
		ListCell   *row;

		foreach(row, (List *) node)
			if (find_apart(lfirst(row), search))
				return true;
		return false;
	}
	return search->found || expression_tree_walker(node, find_equal_calls, context);
}

static void
forget_seen(void *arg)
{
	seen.root = NULL;
}

/* Whether a query has been looked through for calls of a function; from now on it has. */
static bool
was_seen(const PlannerInfo *root, Oid function)
{
	int			relations = list_length(root->parse->rtable);
	MemoryContextCallback *callback;

	if (seen.root == root && seen.function == function && seen.relations == relations)
		return true;
	callback = MemoryContextAlloc(root->planner_cxt, sizeof(MemoryContextCallback));
	callback->func = forget_seen;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(root->planner_cxt, callback);
	seen.root = root;
	seen.function = function;
	seen.relations = relations;
	return false;
}

/* called_once(internal) returns internal: a planner support function. */
Datum
commerce_called_once(PG_FUNCTION_ARGS)
{
	Node	   *node = (Node *) PG_GETARG_POINTER(0);
	SupportRequestSimplify *request;
	Search		search = {0};

	if (!IsA(node, SupportRequestSimplify))
		PG_RETURN_POINTER(NULL);
	request = (SupportRequestSimplify *) node;
	if (request->root == NULL || was_seen(request->root, request->fcall->funcid))
		PG_RETURN_POINTER(NULL);
	search.function = request->fcall->funcid;
	/* not what the range table repeats of other places */
	if (query_tree_walker(request->root->parse, find_equal_calls, &search,
						  QTW_IGNORE_RC_SUBQUERIES | QTW_IGNORE_JOINALIASES | QTW_IGNORE_GROUPEXPRS))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s() would be called once for each column", get_func_name(search.function)),
				 errhint("Use SELECT * FROM commerce.%s(...).", get_func_name(search.function))));
	PG_RETURN_POINTER(NULL);
}
