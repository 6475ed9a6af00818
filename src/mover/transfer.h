/*
 * transfer.h
 *	  Units on their way from one cell to another.
 */
#ifndef MOVER_TRANSFER_H
#define MOVER_TRANSFER_H

#include "mover.h"
#include "plan.h"

/* A new one. */
extern void transfer_plan(Mover *mover, Resource *resource, const Move *move);

/* One that a cell says is open, unless it is known. */
extern void transfer_adopt(Mover *mover, int from, const char *id, Resource *resource, int64_t units, int to);

/* Begins what is next on this cell's work connection. */
extern bool transfer_begin(Mover *mover, Cell *cell, Millis now);

/* The answer, on the cell's work connection; and what it means that it will not come. */
extern void transfer_answered(Mover *mover, Cell *cell, Millis now);
extern void transfer_lost(Mover *mover, Cell *cell);

/* Units of a resource that a cell has sent and the other, or any (-1), has not received. */
extern int64_t transfer_coming(const Mover *mover, const Resource *resource, int to);

/* Whether some of a resource, or of any (NULL), will have moved within a moment. */
extern bool transfer_is_moving(const Mover *mover, const Resource *resource, Millis now);

/* When one that has failed is tried again. */
extern Millis transfer_deadline(const Mover *mover, Millis now);

/* How many have been sent and are not received. */
extern int	transfer_count_open(const Mover *mover);

/* Drops those that are not begun. */
extern void transfer_drop_plans(Mover *mover);

/* Forgets all, also those whose query is under way. */
extern void transfer_forget(Mover *mover);

#endif
