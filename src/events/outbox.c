/*
 * outbox.c
 *	  Writing events; owns commerce.outbox.
 *
 * An event is written by the transaction that it tells of.  Readers order events by (era, key,
 * position) and read only keys below the xmin of the snapshot they scan with, so that no event that
 * commits late is skipped.  For that a key must not be below the id of the transaction that writes it;
 * and since a transaction that got its id early may change an aggregate after one that got its id late,
 * a key must not be below that of the aggregate's event before either.  Hence every aggregate's row has
 * an event_key, set to greatest(event_key, own id) under its lock; that is the event's key.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "port.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "events/outbox.h"

#define SEGMENTS		16		/* partitions of commerce.outbox */
#define NCOLUMNS		10

PG_FUNCTION_INFO_V1(commerce_write_event);

uint64
outbox_first_key(void)
{
	return U64FromFullTransactionId(GetTopFullTransactionId());
}

/* A UUID of version 7 (RFC 9562): milliseconds since 1970, then random bits. */
static void
make_uuid(pg_uuid_t *uuid, TimestampTz at)
{
	int64		since_2000 = at / 1000;
	int64		since_1970 = since_2000 +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;

	if (!pg_strong_random(uuid->data + 6, UUID_LEN - 6))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (int i = 0; i < 6; i++)
		uuid->data[i] = (unsigned char) (since_1970 >> (8 * (5 - i)));
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x70;
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;
}

void
outbox_write(const Event *events, int nevents)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		day = now / USECS_PER_DAY + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);
	int			segment = (int) (day % SEGMENTS);
	char		table[NAMEDATALEN];
	RowWriter	writer;

	snprintf(table, sizeof(table), "outbox_%d", segment);
	row_writer_open(&writer, table, NCOLUMNS);
	for (int i = 0; i < nevents; i++)
	{
		const Event *event = &events[i];
		pg_uuid_t	uuid;
		Datum		values[NCOLUMNS];

		make_uuid(&uuid, now);
		values[0] = UUIDPGetDatum(&uuid);
		values[1] = CStringGetTextDatum(event->aggregatetype);
		values[2] = CStringGetTextDatum(event->aggregateid);
		values[3] = CStringGetTextDatum(event->type);
		values[4] = JsonbPGetDatum(event->payload);
		values[5] = TimestampTzGetDatum(now);
		values[6] = Int32GetDatum(gate_era());
		values[7] = FullTransactionIdGetDatum(FullTransactionIdFromU64(event->key));
		values[8] = Int64GetDatum(commerce_nextval("outbox_position_seq"));
		values[9] = Int16GetDatum(segment);
		row_writer_insert(&writer, values, NULL);
	}
	row_writer_close(&writer);
}

/*
 * write_event(aggregatetype text, aggregateid text, type text, payload jsonb, key xid8)
 *
 * outbox_write() of one event, for the functions that are written in SQL.
 */
Datum
commerce_write_event(PG_FUNCTION_ARGS)
{
	Event		event;

	event.aggregatetype = text_to_cstring(PG_GETARG_TEXT_PP(0));
	event.aggregateid = text_to_cstring(PG_GETARG_TEXT_PP(1));
	event.type = text_to_cstring(PG_GETARG_TEXT_PP(2));
	event.payload = PG_GETARG_JSONB_P(3);
	event.key = U64FromFullTransactionId(PG_GETARG_FULLTRANSACTIONID(4));
	outbox_write(&event, 1);
	PG_RETURN_VOID();
}
