/*
 * hint.h
 *	  What each cell is told that the others have.
 */
#ifndef MOVER_HINT_H
#define MOVER_HINT_H

#include "mover.h"

/* Begins to tell this cell what is due. */
extern bool hint_begin(Mover *mover, Cell *cell, Millis now);

/* The answer, on the cell's work connection. */
extern void hint_answered(Mover *mover, Cell *cell);

#endif
