/*
 * subtransaction.h
 *	  Work that is undone when it was no use.
 */
#ifndef COMMERCE_SUBTRANSACTION_H
#define COMMERCE_SUBTRANSACTION_H

/* Calls a function in a subtransaction, which is rolled back when the function returns false or throws. */
extern bool subtransaction_keep_if(bool (*work) (void *arg), void *arg);

/* The same, but does not throw what the function throws: answers false with the error, else NULL, in *error. */
extern bool subtransaction_try(bool (*work) (void *arg), void *arg, ErrorData **error);

/* Whether an error says that the server may be in no state to go on in this transaction. */
extern bool error_ends_transaction(const ErrorData *error);

#endif
