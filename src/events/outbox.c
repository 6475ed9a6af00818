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
#include "commands/async.h"
#include "fmgr.h"
#include "port.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/compat.h"
#include "base/compress.h"
#include "base/news.h"
#include "base/row_writer.h"
#include "base/sql.h"
#include "escrow/gate.h"
#include "events/outbox.h"

#define SEGMENTS		16		/* partitions of commerce.outbox */
#define MIN_COMPRESSED	512		/* bytes of a payload: below it there is little to win */
#define RANDOM_BYTES	(UUID_LEN - 6)	/* of a UUID, which has the time before them */
#define POOLED_UUIDS	100
#define POSITIONS_AT_ONCE	16	/* by how much the sequence of positions grows */

PG_FUNCTION_INFO_V1(commerce_wake_relay);
PG_FUNCTION_INFO_V1(commerce_write_event);

/* Random bytes for a UUID, of those that this process has drawn for many at once. */
static const unsigned char *
draw_random(void)
{
	static unsigned char pool[POOLED_UUIDS * RANDOM_BYTES];
	static int	left = 0;		/* UUIDs that there are bytes for */

	if (left == 0)
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		left = POOLED_UUIDS;
	}
	return pool + --left * RANDOM_BYTES;
}

/* A UUID of version 7 (RFC 9562): milliseconds since 1970, then random bits. */
static void
make_uuid(pg_uuid_t *uuid, TimestampTz at)
{
	int64		since_2000 = at / 1000;
	int64		since_1970 = since_2000 +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;

	memcpy(uuid->data + 6, draw_random(), RANDOM_BYTES);
	for (int i = 0; i < 6; i++)
		uuid->data[i] = (unsigned char) (since_1970 >> (8 * (5 - i)));
	uuid->data[6] = (uuid->data[6] & 0x0f) | 0x70;
	uuid->data[8] = (uuid->data[8] & 0x3f) | 0x80;
}

char *
outbox_id(int64 id)
{
	char	   *text = palloc(MAXINT8LEN + 1);

	pg_lltoa(id, text);
	return text;
}

/* What positions are drawn with; the sequence gives POSITIONS_AT_ONCE of them at a time. */
typedef struct Positions
{
	int64		next;
	int			left;
} Positions;

static int64
draw_position(Positions *positions)
{
	if (positions->left == 0)
		*positions = (Positions) {catalog_nextval(SEQUENCE_OUTBOX_POSITION), POSITIONS_AT_ONCE};
	positions->left--;
	return positions->next++;
}

/*
 * A payload as it is stored: an order's is half to two thirds of all that the order writes, and compressed half as long.
 */
static struct varlena *
stored_payload(Jsonb *payload)
{
	struct varlena *value = (struct varlena *) payload;

	return VARSIZE(value) >= MIN_COMPRESSED ? compress_value(value) : value;
}

void
outbox_write(const Event *events, int nevents)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		day = now / USECS_PER_DAY + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE);
	int			segment = (int) (day % SEGMENTS);
	pg_uuid_t  *uuids = palloc(nevents * sizeof(pg_uuid_t));
	Positions	positions = {0};
	RowWriter	writer;

	StaticAssertStmt(TABLE_OUTBOX_15 - TABLE_OUTBOX_0 == SEGMENTS - 1, "the segments follow each other");
	row_writer_open(&writer, TABLE_OUTBOX_0 + segment, OUTBOX_COLUMNS);
	for (int i = 0; i < nevents; i++)
	{
		const Event *event = &events[i];
		Row			row = {0};

		make_uuid(&uuids[i], now);
		row_put(&row, OUTBOX_ID, UUIDPGetDatum(&uuids[i]));
		row_put_text(&row, OUTBOX_AGGREGATETYPE, event->aggregatetype);
		row_put_text(&row, OUTBOX_AGGREGATEID, event->aggregateid);
		row_put_text(&row, OUTBOX_TYPE, event->type);
		row_put_varlena(&row, OUTBOX_PAYLOAD, stored_payload(event->payload));
		row_put_time(&row, OUTBOX_CREATED_AT, now);
		row_put_int64(&row, OUTBOX_ERA, gate_era());
		row_put_int64(&row, OUTBOX_KEY, event->key);
		row_put_int64(&row, OUTBOX_POSITION, event->position ? event->position : draw_position(&positions));
		row_put(&row, OUTBOX_SEGMENT, Int16GetDatum(segment));
		row_writer_insert(&writer, &row);
	}
	row_writer_close(&writer);
}

/*
 * write_event(aggregatetype text, aggregateid text, type text, payload jsonb, key bigint, position bigint)
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
	event.key = PG_GETARG_INT64(4);
	event.position = PG_GETARG_INT64(5);
	outbox_write(&event, 1);
	PG_RETURN_VOID();
}

void
outbox_notify(void)
{
	Async_Notify("commerce_outbox", "");
}

/*
 * wake_relay()
 *
 * Orders never call it, because NOTIFY makes commits wait for each other: after this transaction the worker looks
 * whether there is somebody to be woken for them.
 */
Datum
commerce_wake_relay(PG_FUNCTION_ARGS)
{
	outbox_notify();
	news_tell_at_commit(NEWS_ASKED);
	PG_RETURN_VOID();
}
