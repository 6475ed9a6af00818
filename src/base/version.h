/*
 * version.h
 *	  Whether this library can serve the extension as it is in the database.
 */
#ifndef COMMERCE_VERSION_H
#define COMMERCE_VERSION_H

/* Whether it can. */
extern bool version_is_served(void);

/* Whether what was found in the database last is the version before this library's. */
extern bool version_is_before(void);

/* Grows whenever another version than before was found in the database. */
extern uint64 version_updates(void);

/* Raises an error that says what is to be done unless it can. */
extern void version_require(void);

#endif
