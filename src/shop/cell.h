/*
 * cell.h
 *	  Which cell of a shop an id is of.
 */
#ifndef COMMERCE_CELL_H
#define COMMERCE_CELL_H

#include "utils/uuid.h"

#define MAX_CELL	8999		/* its ids are below 2^53, which every client of JSON can read */

/* Writes the cell of a user into the last bits of an order sheet's uuid. */
extern void cell_mark_sheet(pg_uuid_t *sheet_id, int64 user_id);

#endif
