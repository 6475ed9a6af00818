/*
 * compress.h
 *	  Compressing values below the size from which PostgreSQL does.
 */
#ifndef COMMERCE_COMPRESS_H
#define COMMERCE_COMPRESS_H

/*
 * A value of variable length (with a plain header of 4 bytes) as PostgreSQL stores it compressed, in the current memory
 * context; the value itself where that would not be shorter.
 */
extern struct varlena *compress_value(struct varlena *value);

#endif
