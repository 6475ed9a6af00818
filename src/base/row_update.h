/*
 * row_update.h
 *	  Locking and changing one row of the extension's tables without the executor.
 */
#ifndef COMMERCE_ROW_UPDATE_H
#define COMMERCE_ROW_UPDATE_H

#include "base/row_reader.h"
#include "base/row_writer.h"

typedef struct RowUpdate
{
	RowReader	reader;			/* at the row, as it is or, locked, stays: row_int64() and the others read it */
	RowWriter	writer;			/* its slot is the new row */
	bool		locked;
	bool		changed;
	Row			kept;			/* what no trigger may change */
} RowUpdate;

/*
 * Locks the row that has this id in a column, of which the index is unique, FOR NO KEY UPDATE, waiting for who has it, and reads its
 * newest version; or, where skip_locked is set, does not wait.  False, with nothing open: there is none, or it is
 * locked.
 */
extern bool row_lock(CatalogRelation table, CatalogRelation index, int column, int64 id, RowPlace *place, bool skip_locked);

/*
 * The same of the row that a reader is at, which then is at its newest version.  Its table is kept from being dropped
 * until the transaction ends.
 */
extern bool row_lock_found(RowReader *reader, bool skip_locked);

/*
 * Opens a row that is to be changed; ncolumns as in row_writer_open().  With lock, and where there are triggers to serve
 * or columns to generate, the row is locked as by row_lock(), and `locked` set.  Otherwise it is read as it is, which
 * spares the lock's WAL, and whoever opens it is prepared to begin anew with lock: when row_update_close() finds it
 * changed, or when it is not as it should be, since somebody may be changing it.  Ends with row_update_close(), whether
 * anything was changed or not.  False, with nothing open: there is none.
 */
extern bool row_update_open(RowUpdate *update, CatalogRelation table, int ncolumns, CatalogRelation index, int column,
							int64 id, RowPlace *place, bool lock);

/*
 * Gives a column, but not one of a key, another value: a number or a label, which is written or an error raised whatever
 * triggers there are, or a time, which they may change.
 */
extern void row_update_put_int64(RowUpdate *update, int column, int64 value);
extern void row_update_put_label(RowUpdate *update, int column, CatalogType type, int label);
extern void row_update_put_time(RowUpdate *update, int column, TimestampTz at);

/*
 * Writes the row, if a column was put.  False, with nothing written, which happens to one that is not locked: somebody
 * else has changed it since it was read.
 */
extern bool row_update_close(RowUpdate *update);

/* The same of a locked row, and returns it as a composite datum in the current memory context. */
extern Datum row_update_close_returning(RowUpdate *update);

#endif
