/*
 * database.h
 *	  Whether a database is the worker's to write.
 */
#ifndef COMMERCE_DATABASE_H
#define COMMERCE_DATABASE_H

/* Why a worker does nothing in a database. */
typedef enum KeptOut
{
	KEPT_OUT_NOT,				/* it does */
	KEPT_OUT_OFF,
	KEPT_OUT_READ_ONLY,
	KEPT_OUT_SUBSCRIBER,
	KEPT_OUT_VERSION
} KeptOut;

/* Looks at this worker's database. */
extern KeptOut database_keeps_out(void);

#endif
