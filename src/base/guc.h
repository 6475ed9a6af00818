/*
 * guc.h
 *	  The extension's settings.
 */
#ifndef COMMERCE_GUC_H
#define COMMERCE_GUC_H

/* Whom the subject of a token names (commerce.jwt_subject). */
typedef enum JwtSubject
{
	JWT_SUBJECT_ID,				/* a user's id */
	JWT_SUBJECT_EXTERNAL_ID,	/* a user's external_id */
} JwtSubject;

extern int	commerce_auto_confirm_after;
extern bool commerce_auto_prepare;
extern int	commerce_cell_wait;
extern int	commerce_charge_max;
extern int	commerce_charge_unit;
extern int	commerce_escrow_max_resources;
extern int	commerce_jwt_subject;
extern char *commerce_jwt_user_claim;
extern bool commerce_maintenance;
extern int	commerce_maintenance_databases;
extern int	commerce_maintenance_interval;
extern int	commerce_free_shipping_from;
extern int	commerce_max_pending_orders;
extern int	commerce_outbox_retention;
extern int	commerce_payment_ttl;
extern int	commerce_payment_ttl_max;
extern int	commerce_sheet_ttl;
extern int	commerce_shipping_fee;

/*
 * How long commerce.payment_ttls lets a channel be paid, in *seconds, which is left as it is where the setting names
 * no channels; false: it names some, and not this one.
 */
extern bool guc_channel_ttl(const char *channel, int64 *seconds);

/* Defines them; called from _PG_init, again if that has failed. */
extern void guc_define(void);

#endif
