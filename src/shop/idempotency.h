/*
 * idempotency.h
 *	  Doing a request once, however often it is sent.
 */
#ifndef COMMERCE_IDEMPOTENCY_H
#define COMMERCE_IDEMPOTENCY_H

#include "common/sha2.h"

typedef struct IdempotentCall
{
	const char *scope;			/* what is acted on: "user:7", "order:5", "shop" */
	const char *operation;		/* name of the SQL function */
	text	   *key;			/* NULL: the call has none */
	uint8		hash[PG_SHA256_DIGEST_LENGTH];	/* of the canonical arguments */
} IdempotentCall;

/* What a call over REST answered. */
typedef struct StoredAnswer
{
	int			status;			/* of HTTP */
	char	   *location;		/* or NULL */
	text	   *body;
} StoredAnswer;

/*
 * Fills a call; arguments is the canonical form of what was asked for, the same for every request that
 * asks for the same.  Without a key it is not looked at.
 */
extern void idempotency_init(IdempotentCall *call, const char *scope, const char *operation, text *key,
							 const char *arguments);

/* The scope that is one row: "user:7". */
extern char *idempotency_scope(const char *entity, int64 id);

/*
 * Takes the key until the transaction ends, waiting for a call that has it; called after gate_enter()
 * and before anything else is locked.  When the key has done its work already, answers true with the
 * stored result (jsonb) in *result.  A key that was used for something else is an error.
 */
extern bool idempotency_begin(IdempotentCall *call, Datum *result);

/* The same for calls over REST, whose stored answer goes into *answer. */
extern bool idempotency_begin_answer(IdempotentCall *call, StoredAnswer *answer);

/* Takes a call's key (not NULL) until the transaction ends; part of idempotency_begin(). */
extern void idempotency_lock(const IdempotentCall *call);

/* Stores the result, a composite value. */
extern void idempotency_end(IdempotentCall *call, Datum row);

/* Stores what a call over REST answers; person is the user whose data is in it, or 0. */
extern void idempotency_end_answer(IdempotentCall *call, const StoredAnswer *answer, int64 person);

/* For a call whose key is kept elsewhere, when it ends: whether it answers a stored result. */
extern void idempotency_set_replayed(bool is_replayed);

/* Whether the call that ended last, of those that take a key, answered a stored result. */
extern bool idempotency_replayed(void);

#endif
