/*
 * directory.h
 *	  Which subscriptions are to be delivered.
 */
#ifndef RELAY_DIRECTORY_H
#define RELAY_DIRECTORY_H

#include <poll.h>

#include "config.h"
#include "source.h"

typedef struct Directory Directory;

/* only: the subscriptions to care for; with nonly = 0, all. */
extern Directory *directory_open(const Config *config, char *const *only, int nonly);

/*
 * Asks the server for the first time, and waits for it; the program ends when it cannot be asked.  What is
 * wrong with subscriptions is logged; false when there was anything.  Nothing is delivered yet.
 */
extern bool directory_load(Directory *directory);

/* Keeps up with changes, and lets every source do what can be done now. */
extern void directory_step(Directory *directory, Millis now);

extern Millis directory_deadline(const Directory *directory, Millis now);

/* The descriptors to wait for; the array belongs to the directory. */
extern struct pollfd *directory_descriptors(Directory *directory, unsigned *count);

/* Lets every source end; directory_finished() says when there is none. */
extern void directory_finish(Directory *directory);
extern bool directory_finished(const Directory *directory);

/* As source_idle(), of all. */
extern bool directory_idle(const Directory *directory, bool *all_done);

extern void directory_close(Directory *directory);

#endif
