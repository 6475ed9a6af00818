/*
 * wants.h
 *	  Who waits for units in a cell.
 */
#ifndef MOVER_WANTS_H
#define MOVER_WANTS_H

#include "mover.h"

/* What its session begins with. */
extern const char *const wants_statements;

/* Goes on with waiting for them, when this mover leads; or ends it. */
extern void wants_step(Mover *mover, Cell *cell, Millis now);

extern Millis wants_deadline(const Mover *mover, const Cell *cell);

#endif
