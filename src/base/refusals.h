/*
 * refusals.h
 *	  How often each error of error_codes.h was raised, for metrics().
 */
#ifndef COMMERCE_REFUSALS_H
#define COMMERCE_REFUSALS_H

/* Asks for shared memory, and fills it: called by the hooks of commerce.c. */
extern void refusals_request_memory(void);
extern void refusals_start_memory(void);

/* Counts an ErrorCode that is raised in this database.  Does not throw. */
extern void refusals_count(int code);

#endif
