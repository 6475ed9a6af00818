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

/* Who makes a change that is an administrator's alone. */
typedef struct Who
{
	int64		user_id;		/* 0: a trusted caller */
	const char *note;			/* NULL: none */
} Who;

extern const Actor actor_system;

/*
 * The arguments actor, actor_id and note of a function, of which the first is number first.  Raises INVALID_REQUEST,
 * and FORBIDDEN when there is nobody of that kind and id.
 */
extern Actor actor_get(FunctionCallInfo fcinfo, int first);

/* The arguments actor_id and note of such a function, of which the first is number first; judges nothing. */
extern Who	who_get(FunctionCallInfo fcinfo, int first);

/* The canonical form of who, for idempotency_init(). */
extern char *who_canonical(const Who *who);

/* Raises FORBIDDEN unless it is an active administrator, or a trusted caller. */
extern void who_require_admin(const Who *who);

/* The same of a function that has no note. */
extern Actor actor_get_without_note(FunctionCallInfo fcinfo, int first);

/* The canonical form of an actor, for the arguments of a call with an idempotency key. */
extern char *actor_canonical(const Actor *actor);

#endif
