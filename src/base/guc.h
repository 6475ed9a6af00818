/*
 * guc.h
 *	  The extension's settings.
 */
#ifndef COMMERCE_GUC_H
#define COMMERCE_GUC_H

extern int	commerce_auto_confirm_after;
extern bool commerce_auto_prepare;
extern int	commerce_charge_max;
extern int	commerce_charge_unit;
extern int	commerce_escrow_max_resources;
extern int	commerce_maintenance_interval;
extern int	commerce_outbox_retention;
extern int	commerce_payment_ttl;
extern int	commerce_sheet_ttl;

/* Defines them; called from _PG_init, again if that has failed. */
extern void guc_define(void);

#endif
