/*
 * actor.h
 *	  Who makes a change to an order.
 */
#ifndef COMMERCE_ACTOR_H
#define COMMERCE_ACTOR_H

#include "base/json_writer.h"
#include "base/schema.h"

typedef struct Actor
{
	ActorKind	kind;
	int64		id;				/* 0: none given */
	const char *note;			/* NULL: none */
} Actor;

extern const Actor actor_system;

/*
 * The arguments actor, actor_id and note of a function, of which the first is number first.  Raises INVALID_REQUEST,
 * and FORBIDDEN when there is nobody of that kind and id.
 */
extern Actor actor_get(FunctionCallInfo fcinfo, int first);

/* The same of a function that has no note. */
extern Actor actor_get_without_note(FunctionCallInfo fcinfo, int first);

/*
 * The arguments actor_id and note of a function that is an administrator's alone, of which the first is number first:
 * an ADMIN, or the SYSTEM for a trusted caller.  Judges nothing.
 */
extern Actor actor_get_admin(FunctionCallInfo fcinfo, int first);

/* Raises FORBIDDEN unless an actor who has an id is an active administrator. */
extern void actor_require_admin(const Actor *actor);

/* What events say of an actor, as require_who() in sql/install/shop/actor.sql returns it. */
extern void actor_put(JsonWriter *json, const Actor *actor);

/* The canonical form of an actor, for the arguments of a call with an idempotency key. */
extern char *actor_canonical(const Actor *actor);

#endif
