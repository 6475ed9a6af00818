/*
 * metadata.h
 *	  The shop's own attributes of a thing: one JSON object.
 */
#ifndef COMMERCE_METADATA_H
#define COMMERCE_METADATA_H

/* Raises INVALID_REQUEST unless metadata (jsonb, which may be toasted) is an object of at most 16 384 bytes. */
extern void metadata_check(Datum metadata);

#endif
