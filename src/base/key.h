/*
 * key.h
 *	  Transaction ids as the tables have them.
 */
#ifndef COMMERCE_KEY_H
#define COMMERCE_KEY_H

#include "access/transam.h"

/* 0 for no transaction. */
static inline int64
key_of(FullTransactionId xid)
{
	return (int64) U64FromFullTransactionId(xid);
}

/* Of this transaction, which gets an id if it has none. */
extern int64 current_key(void);

#endif
