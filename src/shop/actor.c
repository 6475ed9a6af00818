/*
 * actor.c
 *	  Who makes a change to an order.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/sql.h"
#include "shop/actor.h"

const Actor actor_system = {ACTOR_KIND_SYSTEM, 0, NULL};

/* An id that nobody can have is not the same as none. */
Actor
actor_get(FunctionCallInfo fcinfo, int first)
{
	Actor		actor = {0};
	text	   *note;

	actor.kind = arg_label(fcinfo, first, "actor", TYPE_ACTOR_KIND);
	if (!PG_ARGISNULL(first + 1))
	{
		actor.id = PG_GETARG_INT64(first + 1);
		if (actor.id < 1)
			raise_not_found("actor", actor.id);
	}
	note = arg_text_or_null(fcinfo, first + 2, "note");
	actor.note = note ? text_to_cstring(note) : NULL;
	return actor;
}

Who
who_get(FunctionCallInfo fcinfo, int first)
{
	text	   *note = arg_text_or_null(fcinfo, first + 1, "note");
	Who			who = {0};

	if (!PG_ARGISNULL(first))
		who.user_id = arg_positive(fcinfo, first, "actor_id");
	who.note = note ? text_to_cstring(note) : NULL;
	return who;
}

char *
who_canonical(const Who *who)
{
	return psprintf(INT64_FORMAT " %s%s", who->user_id, who->note ? ":" : "-", who->note ? who->note : "");
}

void
who_require_admin(const Who *who)
{
	static SqlStatement require = {"SELECT commerce_private.require_who($1)", 1, {INT8OID}};

	if (who->user_id != 0)
		sql_do(&require, SQL_ARGS(Int64GetDatum(who->user_id)));
}
