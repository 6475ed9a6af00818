/*
 * leader.h
 *	  One mover at a time shares units out.
 */
#ifndef MOVER_LEADER_H
#define MOVER_LEADER_H

#include "mover.h"

/* Begins to ask this cell for the lock, or to give it back, when that is due. */
extern bool leader_begin(Mover *mover, Cell *cell, Millis now);

/* The answer, on the cell's work connection. */
extern void leader_answered(Mover *mover, Cell *cell, Millis now);

/* Looks whether this mover leads, once connections have come or gone. */
extern void leader_update(Mover *mover);

extern Millis leader_deadline(const Mover *mover, Millis now);

#endif
