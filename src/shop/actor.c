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

/*
 * Judges who says to make a change: a BUYER is any user (sellers and administrators buy too), an ADMIN an active
 * administrator, a SELLER a seller, by his seller's id; the SYSTEM has no id.
 */
static void
require_actor(const Actor *actor)
{
	static SqlStatement find[] = {
		[ACTOR_KIND_BUYER] = {"SELECT FROM commerce.users u WHERE u.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}},
		[ACTOR_KIND_SELLER] = {"SELECT FROM commerce.sellers s WHERE s.id OPERATOR(pg_catalog.=) $1", 1, {INT8OID}},
		[ACTOR_KIND_ADMIN] = {
			"SELECT FROM commerce.users u WHERE u.id OPERATOR(pg_catalog.=) $1 "
			"AND u.role OPERATOR(pg_catalog.=) 'ADMIN' AND u.status OPERATOR(pg_catalog.=) 'ACTIVE'", 1, {INT8OID}
		},
	};

	if (actor->kind == ACTOR_KIND_SYSTEM)
		raise_invalid("actor_id", "must be null for the actor SYSTEM");
	if (!sql_exists(&find[actor->kind], SQL_ARGS(Int64GetDatum(actor->id))))
		raise_error(ERROR_FORBIDDEN, D_INT("user_id", actor->id),
					D_TEXT("role", catalog_label_name(TYPE_ACTOR_KIND, actor->kind)),
					D_REASON(REASON_NO_SUCH_ACTOR));
}

Actor
actor_get(FunctionCallInfo fcinfo, int first)
{
	text	   *note = arg_text_or_null(fcinfo, first + 2, "note");
	Actor		actor = actor_get_without_note(fcinfo, first);

	actor.note = note ? text_to_cstring(note) : NULL;
	return actor;
}

Actor
actor_get_without_note(FunctionCallInfo fcinfo, int first)
{
	Actor		actor = {0};

	actor.kind = arg_label(fcinfo, first, "actor", TYPE_ACTOR_KIND);
	if (!PG_ARGISNULL(first + 1))
	{
		actor.id = PG_GETARG_INT64(first + 1);
		require_actor(&actor);
	}
	return actor;
}

Actor
actor_get_admin(FunctionCallInfo fcinfo, int first)
{
	text	   *note = arg_text_or_null(fcinfo, first + 1, "note");
	Actor		actor = actor_system;

	if (!PG_ARGISNULL(first))
	{
		actor.kind = ACTOR_KIND_ADMIN;
		actor.id = arg_positive(fcinfo, first, "actor_id");
	}
	actor.note = note ? text_to_cstring(note) : NULL;
	return actor;
}

void
actor_require_admin(const Actor *actor)
{
	static SqlStatement require = {"SELECT commerce_private.require_who($1)", 1, {INT8OID}};

	if (actor->id != 0)
		sql_do(&require, SQL_ARGS(Int64GetDatum(actor->id)));
}

void
actor_put(JsonWriter *json, const Actor *actor)
{
	json_open_object(json, "actor");
	json_put_text(json, "kind", catalog_label_name(TYPE_ACTOR_KIND, actor->kind));
	json_put_id(json, "id", actor->id);
	json_put_text(json, "note", actor->note);
	json_close_object(json);
}

char *
actor_canonical(const Actor *actor)
{
	return psprintf("%s " INT64_FORMAT " %s%s", catalog_label_name(TYPE_ACTOR_KIND, actor->kind), actor->id,
					actor->note ? ":" : "-", actor->note ? actor->note : "");
}
