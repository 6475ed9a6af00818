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

#include "base/compat.h"
#include "base/compress.h"

#define MIN_MATCH		3
#define MAX_SHORT_MATCH	17		/* in two bytes */
#define MAX_MATCH		273
#define WINDOW			4096
#define HASH_BITS		12
#define READ_AHEAD		4		/* bytes that are read at once */
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

/* The next bytes as one number. */
static inline uint32
read_bytes(const unsigned char *at)
{
	uint32		bytes;

	memcpy(&bytes, at, READ_AHEAD);
	return bytes;
}

/* Of the three that a match has at least. */
static inline uint32
first_three(uint32 bytes)
{
#ifdef WORDS_BIGENDIAN
	return bytes >> 8;
#else
	return bytes & 0xffffff;
#endif
}

static inline uint32
hash_of(uint32 bytes)
{
	return (first_three(bytes) * 2654435761U) >> (32 - HASH_BITS);
}

static inline void
remember(const unsigned char *at, uint32 position)
{
	last_seen[hash_of(read_bytes(at))] = position;
}

static inline void
begin_item(Output *out, int flag)
{
	if (out->bit == 1 << 8)
	{
		*out->flags = out->bits;
		out->flags = out->next++;
		out->bits = 0;
		out->bit = 1;
	}
	out->bits |= flag * out->bit;
	out->bit <<= 1;
}

static inline void
put_byte(Output *out, unsigned char byte)
{
	begin_item(out, 0);
	*out->next++ = byte;
}

static inline void
put_match(Output *out, int offset, int length)
{
	begin_item(out, 1);
	*out->next++ = ((offset >> 4) & 0xf0) | (Min(length, MAX_SHORT_MATCH + 1) - MIN_MATCH);
	*out->next++ = offset & 0xff;
	if (length > MAX_SHORT_MATCH)
		*out->next++ = length - MAX_SHORT_MATCH - 1;
}

/* How many bytes from two places on are equal, of which the first three are; at most max. */
static inline int
common_length(const unsigned char *a, const unsigned char *b, int max)
{
	int			length = MIN_MATCH;

#ifndef WORDS_BIGENDIAN
	for (; length + (int) sizeof(uint64) <= max; length += sizeof(uint64))
	{
		uint64		wa;
		uint64		wb;

		memcpy(&wa, a + length, sizeof(wa));
		memcpy(&wb, b + length, sizeof(wb));
		if (wa != wb)
			return length + pg_rightmost_one_pos64(wa ^ wb) / BITS_PER_BYTE;
	}
#endif
	while (length < max && a[length] == b[length])
		length++;
	return length;
}

/* Compresses into a buffer that has room for the worst case; answers how many bytes that took. */
static int
compress(const unsigned char *source, int size, unsigned char *buffer)
{
	Output		out = {.next = buffer + 1, .flags = buffer, .bits = 0, .bit = 1};
	uint32		first = next_position;
	int			last = size - READ_AHEAD;
	int			i = 0;

	while (i <= last)
	{
		uint32		bytes = read_bytes(source + i);
		uint32	   *seen = &last_seen[hash_of(bytes)];
		uint32		offset = first + i - *seen;
		int			length;

		*seen = first + i;
		if (offset >= WINDOW || offset > (uint32) i || first_three(bytes ^ read_bytes(source + i - offset)) != 0)
		{
			put_byte(&out, source[i++]);
			continue;
		}
		length = common_length(source + i, source + i - offset, Min(size - i, MAX_MATCH));
		put_match(&out, offset, length);
		i += length;
		/* what follows begins most often like what followed before: the match's last bytes are looked for, too */
		if (i - 1 <= last)
		{
			remember(source + i - 2, first + i - 2);
			remember(source + i - 1, first + i - 1);
		}
	}
	while (i < size)
		put_byte(&out, source[i++]);
	*out.flags = out.bits;
	next_position += size;
	return out.next - buffer;
}

struct varlena *
compress_value(struct varlena *value)
{
	int			size = VARSIZE(value) - VARHDRSZ;
	char	   *compressed = palloc(VARHDRSZ_COMPRESSED + size + size / 8 + 1);
	int			length;

	if (next_position > PG_UINT32_MAX - size)
	{
		memset(last_seen, 0, sizeof(last_seen));
		next_position = 1;
	}
	length = compress((unsigned char *) VARDATA(value), size, (unsigned char *) compressed + VARHDRSZ_COMPRESSED);
	if (VARHDRSZ_COMPRESSED + length >= VARSIZE(value))
		return value;
	SET_VARSIZE_COMPRESSED(compressed, VARHDRSZ_COMPRESSED + length);
	TOAST_COMPRESS_SET_SIZE_AND_COMPRESS_METHOD(compressed, size, TOAST_PGLZ_COMPRESSION_ID);
	return (struct varlena *) compressed;
}
