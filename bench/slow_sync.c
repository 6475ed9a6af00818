/*
 * slow_sync.c
 *	  Makes fdatasync() slower, to see what a disk or a synchronous standby that takes its time does to
 *	  programs that wait for it.
 *
 * Loaded by LD_PRELOAD into PostgreSQL and Redis, which both make their logs durable by fdatasync().
 * SLOW_SYNC names a file that holds the microseconds to add, as one int; it can be written at any time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int	(*real_fdatasync) (int);
static volatile const int *added;

__attribute__((constructor)) static void
map_added(void)
{
	const char *name = getenv("SLOW_SYNC");
	int			fd = name ? open(name, O_RDONLY) : -1;
	void	   *map;

	*(void **) &real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(int), PROT_READ, MAP_SHARED, fd, 0);
	if (map != MAP_FAILED)
		added = map;
	close(fd);
}

int
fdatasync(int fd)
{
	if (added != NULL && *added > 0)
		usleep(*added);
	return real_fdatasync(fd);
}
