/*
 * metrics.h
 *	  What the mover tells who watches it.
 */
#ifndef MOVER_METRICS_H
#define MOVER_METRICS_H

#include "mover.h"

/* Writes the file anew; what is wrong with that is logged. */
extern void metrics_write(const Mover *mover);

#endif
