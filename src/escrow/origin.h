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
	ORIGIN_NONE,				/* nobody's, and nothing was ever written here */
	ORIGIN_FOREIGN,				/* another cluster's */
	ORIGIN_REBASING				/* it is being made this cluster's */
} OriginState;

/* Reads the origin under a fresh snapshot; *era is set when it is ours. */
extern OriginState origin_read(int64 *era);

/* Whether some mark is not this cluster's past though the origin is. */
extern bool origin_marks_are_ahead(void);

/* All of these: the gate is closed.  Begins a new era. */
extern void origin_open_era(void);

/* Makes this cluster the origin of what is written from now on. */
extern void origin_record(void);

/* The same, of what came from another cluster, with the batches that are then to be done, in transactions. */
extern void origin_begin_rebase(void);

/* Does the next batch, and answers what it did; NULL when that was the last one. */
extern char *origin_rebase_batch(void);

#endif
