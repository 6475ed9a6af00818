/*
 * archive.h
 *	  Orders that are archived.
 */
#ifndef COMMERCE_ARCHIVE_H
#define COMMERCE_ARCHIVE_H

#include "fmgr.h"

#include "shop/actor.h"

/* An order that is archived. */
typedef struct Archived
{
	int64		user_id;
	int64		payment_amount;
	Datum		row;			/* as it was, a composite datum */
} Archived;

/* Finds an order in the archive. */
extern bool archive_find_order(int64 order_id, Archived *archived);

/*
 * Raises what there is to say of an order, order_item, payment or shipment (entity) that is not there for an actor
 * (NULL: a trusted caller): INVALID_STATE_TRANSITION when it is archived, and the actor's own, else ENTITY_NOT_FOUND.
 */
pg_noreturn extern void archive_raise_missing(const char *entity, int64 id, const Actor *actor);

/* Whether a payment provider's success for an archived order was recorded; the user's row is locked. */
extern bool archive_knows_success(int64 order_id, text *provider_event_id);

/* Records one. */
extern void archive_note_success(int64 order_id, text *provider_event_id);

/* Whether a refund by a provider is archived and his answer changes nothing of it; its row then. */
extern bool archive_knows_refund(int64 payment_id, bool succeeded, Datum *row);

#endif
