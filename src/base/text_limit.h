/*
 * text_limit.h
 *	  How long the texts of a request may be.
 */
#ifndef COMMERCE_TEXT_LIMIT_H
#define COMMERCE_TEXT_LIMIT_H

#include "fmgr.h"

/* Raises INVALID_REQUEST when a text is longer than what an argument of this name may have. */
extern void text_check(const char *argument, Datum value);

/* Raises INVALID_REQUEST when metadata (jsonb) is no object, or too large; null is allowed. */
extern void metadata_check(Datum value);

#endif
