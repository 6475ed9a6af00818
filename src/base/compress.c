/*
 * compress.c
 *	  Compressing values below the size from which PostgreSQL does, in its own format (pglz).
 *
 * PostgreSQL leaves a row below 2 kB as it is.  An order's events are below that, and half to two thirds of all that an
 * order writes.  pglz's format fits such short values better than LZ4's (730 bytes instead of 830 for an order of two
 * lines), since a match costs 2 bytes from a length of 3 on; every server reads it.  PostgreSQL's own functions for it
 * are made for longer values: they clear tables of 16 to 90 kB for each, and this one clears none.
 *
 * The format: after the length comes the value in groups, each a byte of flags and up to eight items, the lowest bit
 * the first item's.  0: a byte as it is.  1: a match, two bytes: (offset >> 4) & 0xf0 | length - 3, and offset & 0xff;
 * a length - 3 of 15 has a third byte, length - 18.
 */
#include "postgres.h"

#include "access/toast_internals.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"

#include "base/compat.h"
#include "base/compress.h"

#define MIN_MATCH		3
#define MAX_SHORT_MATCH	17		/* in two bytes */
#define MAX_MATCH		273
#define PASSED_OVER		7		/* matches up to this length, where a longer one begins a byte later */
#define WINDOW			4096
#define HASH_BITS		12
#define READ_AHEAD		8		/* bytes that are read at once; the last ones before the end are not looked for */
#define BITS_PER_BYTE	8

/*
 * Where three bytes of this hash were seen last.  Positions of all values that are compressed count on, so those of
 * former values are known by being below the first of this one, and the table is never cleared but when they come round.
 */
static uint32 last_seen[1 << HASH_BITS];
static uint32 next_position = 1;

typedef struct Output
{
	unsigned char *next;
	unsigned char *flags;		/* of the group that is being filled */
	int			bits;			/* these, so far */
	int			bit;			/* of the next item */
} Output;

/* The next bytes as one number, of which the first byte is the lowest. */
static inline uint64
read_bytes(const unsigned char *at)
{
	uint64		bytes;

	memcpy(&bytes, at, READ_AHEAD);
#ifdef WORDS_BIGENDIAN
	bytes = pg_bswap64(bytes);
#endif
	return bytes;
}

/* Whether the three bytes that a match has at least are equal, by what differs. */
static inline bool
can_match(uint64 differing)
{
	return (differing & 0xffffff) == 0;
}

/* How many bytes are equal, by what differs. */
static inline int
equal_bytes(uint64 differing)
{
	return pg_rightmost_one_pos64(differing) / BITS_PER_BYTE;
}

/* Where the first three bytes were seen: the fourth and those behind it are shifted out. */
static inline uint32 *
seen_of(uint64 bytes)
{
	return &last_seen[((uint32) bytes * (2654435761U << BITS_PER_BYTE)) >> (32 - HASH_BITS)];
}

static inline void
begin_item(Output *out, bool match)
{
	if (out->bit == 1 << 8)
	{
		*out->flags = out->bits;
		out->flags = out->next++;
		out->bits = 0;
		out->bit = 1;
	}
	if (match)
		out->bits |= out->bit;
	out->bit <<= 1;
}

static inline void
put_byte(Output *out, unsigned char byte)
{
	begin_item(out, false);
	*out->next++ = byte;
}

static inline void
put_match(Output *out, int offset, int length)
{
	begin_item(out, true);
	out->next[1] = offset & 0xff;
	if (length <= MAX_SHORT_MATCH)
	{
		out->next[0] = ((offset >> 4) & 0xf0) | (length - MIN_MATCH);
		out->next += 2;
		return;
	}
	out->next[0] = ((offset >> 4) & 0xf0) | (MAX_SHORT_MATCH + 1 - MIN_MATCH);
	out->next[2] = length - MAX_SHORT_MATCH - 1;
	out->next += 3;
}

/* How many bytes from two places on are equal, at most max. */
static inline int
common_length(const unsigned char *a, const unsigned char *b, int max)
{
	int			length = 0;

	for (; length + READ_AHEAD <= max; length += READ_AHEAD)
	{
		uint64		differing = read_bytes(a + length) ^ read_bytes(b + length);

		if (differing != 0)
			return length + equal_bytes(differing);
	}
	while (length < max && a[length] == b[length])
		length++;
	return length;
}

/* A place in a value, by its position; zero: where position 0 would be. */
static inline const unsigned char *
place(uintptr_t zero, uint64 position)
{
	return (const unsigned char *) (zero + position);
}

/* Whether a match that begins at a position has more bytes than one that begins before it, which is a short one. */
static inline bool
begins_longer(uintptr_t zero, uint32 first, uint64 position, int length)
{
	uint64		bytes = read_bytes(place(zero, position));
	uint32		before = *seen_of(bytes);

	return before >= first &&
		(bytes ^ read_bytes(place(zero, before))) << ((READ_AHEAD - 1 - length) * BITS_PER_BYTE) == 0;
}

/*
 * Compresses READ_AHEAD bytes or more into a buffer that has room for the worst case; answers how many bytes that took.
 * Each byte of an order's events comes by here, so it is written for few instructions.
 */
static int
compress(const unsigned char *source, int size, unsigned char *buffer)
{
	Output		out = {.next = buffer + 1, .flags = buffer, .bits = 0, .bit = 1};
	uint32		first = next_position;
	uint64		end = (uint64) first + size;
	uint64		last = end - READ_AHEAD;
	uint64		now = first;
	uintptr_t	zero = (uintptr_t) source - first;

	while (now <= last)
	{
		uint64		bytes = read_bytes(place(zero, now));
		uint32	   *seen = seen_of(bytes);
		uint32		before = *seen;
		uint64		differing;
		int			offset;
		int			length;

		*seen = now;
		if (before < first || !can_match(differing = bytes ^ read_bytes(place(zero, before))) ||
			(offset = now - before) >= WINDOW)
		{
			put_byte(&out, (unsigned char) bytes);
			now++;
			continue;
		}
		if (differing != 0)
			length = equal_bytes(differing);
		else
			length = READ_AHEAD + common_length(place(zero, now + READ_AHEAD), place(zero, before + READ_AHEAD),
												Min((int) (end - now), MAX_MATCH) - READ_AHEAD);
		if (length <= PASSED_OVER && now < last && begins_longer(zero, first, now + 1, length))
		{
			put_byte(&out, (unsigned char) bytes);
			now++;
			continue;
		}
		put_match(&out, offset, length);
		now += length;
		/* what follows begins most often like what followed before: the match's last bytes are looked for, too */
		if (now - 1 <= last)
		{
			*seen_of(read_bytes(place(zero, now - 3))) = now - 3;
			*seen_of(read_bytes(place(zero, now - 2))) = now - 2;
			*seen_of(read_bytes(place(zero, now - 1))) = now - 1;
		}
	}
	while (now < end)
		put_byte(&out, *place(zero, now++));
	*out.flags = out.bits;
	next_position = end;
	return out.next - buffer;
}

struct varlena *
compress_value(struct varlena *value)
{
	int			size = VARSIZE(value) - VARHDRSZ;
	char	   *compressed;
	int			length;

	if (size < READ_AHEAD)
		return value;
	if (next_position > PG_UINT32_MAX - size)
	{
		memset(last_seen, 0, sizeof(last_seen));
		next_position = 1;
	}
	compressed = palloc(VARHDRSZ_COMPRESSED + size + size / 8 + 1);
	length = compress((unsigned char *) VARDATA(value), size, (unsigned char *) compressed + VARHDRSZ_COMPRESSED);
	if (VARHDRSZ_COMPRESSED + length >= VARSIZE(value))
		return value;
	SET_VARSIZE_COMPRESSED(compressed, VARHDRSZ_COMPRESSED + length);
	TOAST_COMPRESS_SET_SIZE_AND_COMPRESS_METHOD(compressed, size, TOAST_PGLZ_COMPRESSION_ID);
	return (struct varlena *) compressed;
}
