/*
 * look.h
 *	  What the cells have: asked of all of them at a time.
 */
#ifndef MOVER_LOOK_H
#define MOVER_LOOK_H

#include "mover.h"

/* What makes its statements in a session. */
extern const char *const look_statements;

/* Begins a look that is due, or ends one: decides what is to move, and what the cells are to be told. */
extern void look_step(Mover *mover, Millis now);

/* Begins this cell's part of the look, or of the survey of what it has sold. */
extern bool look_begin(Mover *mover, Cell *cell, Millis now);
extern bool survey_begin(Mover *mover, Cell *cell, Millis now);

/* The answers, on the cell's work connection; and what it means that none will come. */
extern void look_answered(Mover *mover, Cell *cell, Millis now);
extern void survey_answered(Mover *mover, Cell *cell, Millis now);
extern void look_lost(Mover *mover, Cell *cell);

extern Millis look_deadline(const Mover *mover, Millis now);

/* Lets go of a look that is under way. */
extern void look_forget(Mover *mover);

#endif
