/*
 * compat.h
 *	  The methods of memory contexts in different versions of PostgreSQL.
 */
#ifndef INJECT_COMPAT_H
#define INJECT_COMPAT_H

#if PG_VERSION_NUM >= 170000
#include "utils/memutils_internal.h"
#endif

#if PG_VERSION_NUM >= 170000
#define ALLOC_ARGS		MemoryContext context, Size size, int flags
#define ALLOC_VALUES	context, size, flags
#define REALLOC_ARGS	void *pointer, Size size, int flags
#define REALLOC_VALUES	pointer, size, flags
#define FAILED_ALLOC	MemoryContextAllocationFailure(context, size, flags)
#define FAILED_REALLOC	MemoryContextAllocationFailure(GetMemoryChunkContext(pointer), size, flags)
#elif PG_VERSION_NUM >= 160000
#define ALLOC_ARGS		MemoryContext context, Size size
#define ALLOC_VALUES	context, size
#define REALLOC_ARGS	void *pointer, Size size
#define REALLOC_VALUES	pointer, size
#define FAILED_ALLOC	NULL
#define FAILED_REALLOC	NULL
#else
#define ALLOC_ARGS		MemoryContext context, Size size
#define ALLOC_VALUES	context, size
#define REALLOC_ARGS	MemoryContext context, void *pointer, Size size
#define REALLOC_VALUES	context, pointer, size
#define FAILED_ALLOC	NULL
#define FAILED_REALLOC	NULL
#endif

#endif
