/*
 * origin.h
 *	  Whose the transaction ids in the journals are, and which era of the outbox this history writes.
 */
#ifndef COMMERCE_ORIGIN_H
#define COMMERCE_ORIGIN_H

typedef enum OriginState
{
	ORIGIN_OURS,				/* this cluster's, and nothing has happened to its history */
	ORIGIN_CUT,					/* this cluster's, but its history may have been cut */
	ORIGIN_FOREIGN				/* another cluster's, or nobody's */
} OriginState;

/* Reads the origin under a fresh snapshot; *era is set when it is ours. */
extern OriginState origin_read(int64 *era);

/* Begins a new era; the gate is closed. */
extern void origin_open_era(void);

/* Makes what came from another cluster this one's, in a new era; the gate is closed. */
extern void origin_rebase(void);

#endif
