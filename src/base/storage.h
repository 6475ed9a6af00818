/*
 * storage.h
 *	  Whether a relation keeps its rows where the library reads and writes them.
 */
#ifndef COMMERCE_STORAGE_H
#define COMMERCE_STORAGE_H

/* Why it does not, in words that follow its name; NULL: it does. */
extern const char *storage_obstacle(Oid relation);

#endif
