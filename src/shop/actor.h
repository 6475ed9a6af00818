/*
 * actor.h
 *	  Who makes a change to an order.
 */
#ifndef COMMERCE_ACTOR_H
#define COMMERCE_ACTOR_H

#include "base/schema.h"

typedef struct Actor
{
	ActorKind	kind;
	int64		id;				/* 0: none given */
	const char *note;			/* NULL: none */
} Actor;

extern const Actor actor_system;

/*
 * The arguments actor, actor_id and note of a function, of which the first is number first.  Raises
 * INVALID_REQUEST, and ENTITY_NOT_FOUND for an id that nobody can have.
 */
extern Actor actor_get(FunctionCallInfo fcinfo, int first);

#endif
