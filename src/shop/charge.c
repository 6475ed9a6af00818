/*
 * charge.c
 *	  Charges of a balance that a provider is to pay.
 *
 * Lock order: gate, idempotency key, user's row.
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/compat.h"
#include "events/outbox.h"
#include "shop/charge.h"
#include "shop/user.h"

void
charge_write_event(const char *type, const char *member, const Payment *payment, const Who *who)
{
	Event		event = {"User", psprintf(INT64_FORMAT, payment->user_id), type};
	JsonWriter	json = {0};

	json_open_object(&json, NULL);
	json_put_int(&json, "user_id", payment->user_id);
	payment_put(&json, member, payment);
	if (who)
	{
		json_put_id(&json, "actor", who->user_id);
		json_put_text(&json, "note", who->note);
	}
	json_close_object(&json);
	event.payload = json_finish(&json);
	event.key = user_move_event_key(payment->user_id);
	outbox_write(&event, 1);
}
