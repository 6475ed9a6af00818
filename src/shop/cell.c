/*
 * cell.c
 *	  Which cell of a shop an id is of.
 *
 * A shop that outgrows one machine is several databases, its cells.  Each gives out ids of a range of its own,
 * IDS_PER_CELL wide, so that an id says where its row is.  An order sheet's uuid says it with its last bits.  Its
 * sheets are made where a user's rows are, so they are those of the user's id.  A shop of one database is cell 0.
 */
#include "postgres.h"

#include "fmgr.h"
#include "replication/logicalworker.h"
#include "utils/uuid.h"

#include "shop/cell.h"

#define IDS_PER_CELL	INT64CONST(1000000000000)
#define CELL_BITS		14		/* of a uuid, the last ones */

PG_FUNCTION_INFO_V1(commerce_cell_of);
PG_FUNCTION_INFO_V1(commerce_cell_of_sheet);
PG_FUNCTION_INFO_V1(commerce_is_replicated);

/* A bigint's quotient fits into an int. */
static int32
cell_of(int64 id)
{
	return (int32) (id / IDS_PER_CELL);
}

void
cell_mark_sheet(pg_uuid_t *sheet_id, int64 user_id)
{
	unsigned char *last = &sheet_id->data[UUID_LEN - 2];
	int32		cell = cell_of(user_id);

	last[0] = (last[0] & ~((1 << (CELL_BITS - 8)) - 1)) | ((cell >> 8) & ((1 << (CELL_BITS - 8)) - 1));
	last[1] = cell & 0xFF;
}

/*
 * cell_of(id bigint)
 */
Datum
commerce_cell_of(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(cell_of(PG_GETARG_INT64(0)));
}

/*
 * cell_of_sheet(order_sheet_id uuid)
 *
 * NULL: no sheet has this uuid.
 */
Datum
commerce_cell_of_sheet(PG_FUNCTION_ARGS)
{
	const unsigned char *last = &PG_GETARG_UUID_P(0)->data[UUID_LEN - 2];
	int32		cell = ((last[0] << 8) | last[1]) & ((1 << CELL_BITS) - 1);

	if (cell > MAX_CELL)
		PG_RETURN_NULL();
	PG_RETURN_INT32(cell);
}

/*
 * is_replicated()
 *
 * Whether what is written now arrives by a subscription.
 */
Datum
commerce_is_replicated(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(IsLogicalWorker());
}
