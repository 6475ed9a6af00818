/*
 * lock.c
 *	  Locks of our own on things that are no rows.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"

#include "base/compat.h"
#include "base/lock.h"

static LOCKTAG
lock_tag(LockKind kind, uint64 key)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, kind);
	return tag;
}

static bool
take(LockKind kind, uint64 key, bool for_session, bool wait)
{
	LOCKTAG		tag = lock_tag(kind, key);

	return LockAcquire(&tag, ExclusiveLock, for_session, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

static bool
release(LockKind kind, uint64 key, bool of_session)
{
	LOCKTAG		tag = lock_tag(kind, key);

	return LockRelease(&tag, ExclusiveLock, of_session);
}

void
lock_take(LockKind kind, uint64 key)
{
	(void) take(kind, key, false, true);
}

void
lock_take_shared(LockKind kind, uint64 key)
{
	LOCKTAG		tag = lock_tag(kind, key);

	(void) LockAcquire(&tag, ShareLock, false, false);
}

bool
lock_try(LockKind kind, uint64 key)
{
	return take(kind, key, false, false);
}

void
lock_release(LockKind kind, uint64 key)
{
	(void) release(kind, key, false);
}

bool
lock_try_session(LockKind kind, uint64 key)
{
	return take(kind, key, true, false);
}

bool
lock_release_session(LockKind kind, uint64 key)
{
	return release(kind, key, true);
}

bool
lock_is_mine(LockKind kind, uint64 key)
{
	LOCKTAG		tag = lock_tag(kind, key);

	return lock_held_by_me(&tag, ExclusiveLock);
}
