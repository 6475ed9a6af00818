/*
 * inject.c
 *	  Makes an allocation of a statement fail, or has the backend cancelled or terminated at it: the n-th, or the
 *	  first at a place where that has not been yet.
 *
 * For test servers only: it replaces the methods of this process's memory contexts.  To be loaded into a
 * session before anything else.
 *
 * An armed session counts from the beginning of its next statement's execution until it has ended.  When a process
 * dies by a signal it writes to crash.PID, in the folder INJECT_DIR, where it was and where the fault had been
 * injected: lines of a file, an offset in it and, where it is exported, the function's name.
 *
 * A place is a function that allocates, those that called it, and the functions of commerce that came to it, all or the
 * nearest of them (keep_ends()).  It has a number, which is the same in all sessions of a server that has commerce
 * preloaded; the places that had a fault are in a file in INJECT_DIR, which arm() names.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "postgres.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "compat.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(inject_arm);
PG_FUNCTION_INFO_V1(inject_disarm);
PG_FUNCTION_INFO_V1(inject_reset_caches);
PG_FUNCTION_INFO_V1(inject_under);
PG_FUNCTION_INFO_V1(inject_where);

PGDLLEXPORT void _PG_init(void);

#define MAX_PLACES	(1 << 20)
#define MAX_DEPTH	100
#define MAX_UNDER	4
#define NEAREST		2
#define ALLOCATING_FRAMES	6	/* three of them are this module's and palloc() */

typedef enum Kind
{
	OOM,
	TWICE,						/* and again when commerce, or what it has called, cleans up after it */
	CANCEL,
	DIE,
} Kind;

static Kind kind = OOM;
static bool pending = false;	/* armed, and waiting for the statement */
static bool active = false;
static const char *statement_armed = NULL;	/* the text that the client has sent; PostgreSQL keeps it until the end */
static bool fired = false;
static bool fired_again = false;
static int64 counted = 0;
static int64 target = 0;
static bool at_new_place = false;	/* it happens at a new place, not before the target */
static bool by_nearest = false; /* new is what the nearest functions of commerce have not come to */

/* The places that had a fault, by their hashes, in a file that all sessions map, and its name */
static uint64 *seen = NULL;
static char seen_name[NAMEDATALEN] = "";

static void *where[MAX_DEPTH];
static int	nwhere = 0;

/* Only allocations that have a frame in each of these ranges are counted. */
static struct
{
	char	   *low;
	char	   *high;
}			under[MAX_UNDER];
static int	nunder = 0;

static char *commerce_low = NULL;
static char *commerce_high = NULL;

static char crash_dir[MAXPGPATH] = ".";
static int	worker_within = 0;
static bool is_worker = false;

static ExecutorStart_hook_type previous_start = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/*
 * Stacks
 */

static bool
is_under_all(void *const *frames, int nframes)
{
	for (int i = 0; i < nunder; i++)
	{
		bool		found = false;

		for (int j = 0; j < nframes && !found; j++)
			found = (char *) frames[j] > under[i].low && (char *) frames[j] <= under[i].high;
		if (!found)
			return false;
	}
	return true;
}

static bool
is_commerce(const void *frame)
{
	return (const char *) frame >= commerce_low && (const char *) frame < commerce_high;
}

/*
 * Leaves of a stack the functions that allocate, and those of commerce that came to it: what PostgreSQL does in between,
 * and who called commerce, are not looked at.  Returns how many are left.
 */
static int
keep_ends(void **frames, int nframes)
{
	int			kept = Min(ALLOCATING_FRAMES, nframes);
	int			i = kept;

	while (i < nframes && !is_commerce(frames[i]))
		i++;
	for (; i < nframes && is_commerce(frames[i]); i++)
		frames[kept++] = frames[i];
	return kept;
}

static uint64
hash_stack(void *const *frames, int nframes)
{
	uint64		hash = UINT64CONST(1469598103934665603);

	for (int i = 0; i < nframes; i++)
		hash = (hash ^ (uint64) (uintptr_t) frames[i]) * UINT64CONST(1099511628211);
	return Max(hash, 1);
}

/* Returns whether a place is new. */
static bool
note_place(uint64 place)
{
	uint32		slot = (place >> 20) % MAX_PLACES;

	while (seen[slot] != 0 && seen[slot] != place)
		slot = (slot + 1) % MAX_PLACES;
	if (seen[slot] == place)
		return false;
	seen[slot] = place;
	return true;
}

/* Returns whether the place that a stack has come to is new. */
static bool
note_stack(void **frames, int nframes)
{
	int			kept = keep_ends(frames, nframes);
	int			nearest = Min(kept, ALLOCATING_FRAMES + NEAREST);
	bool		is_new = note_place(hash_stack(frames, nearest));

	if (by_nearest || nearest == kept)
		return is_new;
	return note_place(hash_stack(frames, kept));
}

static void
put(int fd, const char *text)
{
	(void) !write(fd, text, strlen(text));
}

static void
put_frame(char *line, size_t size, void *frame)
{
	Dl_info		info;

	/* the server's own name has become what ps shows */
	if (dladdr(frame, &info) && info.dli_fname)
		snprintf(line, size, "%s 0x%lx %s\n", strncmp(info.dli_fname, "postgres:", 9) == 0 ? "postgres" : info.dli_fname,
				 (unsigned long) ((char *) frame - (char *) info.dli_fbase - 1), info.dli_sname ? info.dli_sname : "?");
	else
		snprintf(line, size, "? 0x%lx ?\n", (unsigned long) (uintptr_t) frame);
}

static void
put_frames(int fd, void **frames, int n)
{
	char		line[MAXPGPATH + 200];

	for (int i = 0; i < n; i++)
	{
		put_frame(line, sizeof(line), frames[i]);
		put(fd, line);
	}
}

/* For when the session cannot be asked: the number of the allocation, and where it was */
static void
note_fault(void)
{
	char		path[MAXPGPATH + 50];
	char		line[50];
	int			fd;

	snprintf(path, sizeof(path), "%s/fired", crash_dir);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0666);
	if (fd < 0)
		return;
	snprintf(line, sizeof(line), "%lld\n", (long long) counted);
	put(fd, line);
	put_frames(fd, where, nwhere);
	close(fd);
}

static void
crashed(int signo)
{
	char		path[MAXPGPATH + 50];
	void	   *frames[MAX_DEPTH];
	int			fd;

	snprintf(path, sizeof(path), "%s/crash.%d", crash_dir, (int) getpid());
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0666);
	if (fd >= 0)
	{
		char		line[100];

		snprintf(line, sizeof(line), "signal %d n %lld of %lld fired %d\nCRASHED AT\n", signo,
				 (long long) target, (long long) counted, fired);
		put(fd, line);
		put_frames(fd, frames, backtrace(frames, MAX_DEPTH));
		put(fd, "INJECTED AT\n");
		put_frames(fd, where, nwhere);
		close(fd);
	}
	signal(signo, SIG_DFL);
	kill(getpid(), signo);
}

/*
 * Allocations
 */

/* What PostgreSQL keeps for telling errors is enough for them. */
static bool
fails_again(void)
{
	void	   *frames[MAX_DEPTH];
	int			nframes;

	if (kind != TWICE || fired_again || CurrentMemoryContext == ErrorContext)
		return false;
	nframes = backtrace(frames, MAX_DEPTH);
	for (int i = 0; i < nframes && !fired_again; i++)
		fired_again = is_commerce(frames[i]);
	return fired_again;
}

/*
 * A session that is cancelled or terminated ends at the next check for interrupts, wherever before it that was: the
 * places on the way there have had it, too.
 */
static bool
is_on_way_to_check(void)
{
	return at_new_place && (kind == CANCEL || kind == DIE) && InterruptPending;
}

/* Counts an allocation, and does what is to be done at it; true: it is to fail. */
static bool
step(void)
{
	void	   *frames[MAX_DEPTH];
	int			nframes = 0;

	if (!active)
		return false;
	if (debug_query_string != statement_armed)
	{
		active = false;
		return false;
	}
	if (fired && !is_on_way_to_check())
		return fails_again();
	if (nunder > 0 || (at_new_place && counted + 1 >= target))
		nframes = backtrace(frames, MAX_DEPTH);
	if (fired)
	{
		note_stack(frames, nframes);
		return false;
	}
	if (nunder > 0 && !is_under_all(frames, nframes))
		return false;
	counted++;
	if (at_new_place ? counted < target || !note_stack(frames, nframes) : counted != target)
		return false;
	fired = true;
	nwhere = backtrace(where, MAX_DEPTH);
	note_fault();
	if (kind == OOM || kind == TWICE)
		return true;
	if (kind == CANCEL)
		QueryCancelPending = true;
	else
		ProcDiePending = true;
	InterruptPending = true;
	return false;
}

/* Replaces the methods of a kind of memory context.  They are told apart by a number, since C has no closures. */
#define REPLACED(prefix) \
static void *(*prefix##_alloc) (ALLOC_ARGS); \
static void *(*prefix##_realloc) (REALLOC_ARGS); \
static void * \
my_##prefix##_alloc(ALLOC_ARGS) \
{ \
	return step() ? FAILED_ALLOC : prefix##_alloc(ALLOC_VALUES); \
} \
static void * \
my_##prefix##_realloc(REALLOC_ARGS) \
{ \
	return step() ? FAILED_REALLOC : prefix##_realloc(REALLOC_VALUES); \
}

REPLACED(set)
REPLACED(generation)

/* An error "out of memory" need not show every context. */
static void
no_stats(MemoryContext context, MemoryStatsPrintFunc printfunc, void *passthru, MemoryContextCounters *totals,
		 bool print_to_stderr)
{
}

/* A context's methods, made writable: they are in constant data, which is copied when it is written. */
static MemoryContextMethods *
methods_of(MemoryContext context)
{
	MemoryContextMethods *methods = unconstify(MemoryContextMethods *, context->methods);
	uintptr_t	page = sysconf(_SC_PAGESIZE);
	uintptr_t	low = (uintptr_t) methods & ~(page - 1);
	uintptr_t	high = ((uintptr_t) methods + sizeof(*methods) + page - 1) & ~(page - 1);

	if (mprotect((void *) low, high - low, PROT_READ | PROT_WRITE) != 0)
		elog(ERROR, "mprotect: %m");
	return methods;
}

static void
replace_methods(void)
{
	MemoryContextMethods *methods = methods_of(TopMemoryContext);
	MemoryContext generation;

	set_alloc = methods->alloc;
	set_realloc = methods->realloc;
	methods->alloc = my_set_alloc;
	methods->realloc = my_set_realloc;
	methods->stats = no_stats;

	generation = GenerationContextCreate(CurrentMemoryContext, "inject", ALLOCSET_SMALL_SIZES);
	methods = methods_of(generation);
	generation_alloc = methods->alloc;
	generation_realloc = methods->realloc;
	methods->alloc = my_generation_alloc;
	methods->realloc = my_generation_realloc;
	methods->stats = no_stats;
	MemoryContextDelete(generation);
}

/*
 * Statements
 */

static void
begin(void)
{
	/* the maintenance worker runs out of memory again and again, somewhere */
	if (worker_within > 0 && MyBgworkerEntry != NULL &&
		strcmp(MyBgworkerEntry->bgw_type, "commerce maintenance") == 0 && (!active || fired))
	{
		kind = OOM;
		counted = 0;
		target = 1 + pg_prng_uint64_range(&pg_global_prng_state, 0, worker_within - 1);
		fired = false;
		active = is_worker = true;
		return;
	}
	if (is_worker && worker_within == 0)
		active = false;
	if (!pending)
		return;
	pending = false;
	counted = 0;
	fired = fired_again = false;
	statement_armed = debug_query_string;
	active = true;
}

static void
start(QueryDesc *query, int eflags)
{
	begin();
	if (previous_start)
		previous_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

static void
utility(PlannedStmt *statement, const char *sql, bool read_only, ProcessUtilityContext context,
		ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (!IsA(statement->utilityStmt, TransactionStmt))
		begin();
	if (previous_utility)
		previous_utility(statement, sql, read_only, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(statement, sql, read_only, context, params, environment, dest, completion);
}

/* Extends a range that begins where a library does to the library's end. */
static int
extend_range(struct dl_phdr_info *library, size_t size, void *arg)
{
	char	  **low = ((char ***) arg)[0];
	char	  **high = ((char ***) arg)[1];

	if ((char *) library->dlpi_addr != *low)
		return 0;
	for (int i = 0; i < library->dlpi_phnum; i++)
		if (library->dlpi_phdr[i].p_type == PT_LOAD)
			*high = Max(*high, *low + library->dlpi_phdr[i].p_vaddr + library->dlpi_phdr[i].p_memsz);
	return 1;
}

/* The addresses of an exported function of the server, or of a loaded library (NAME.so). */
static void
find_range(const char *name, char **low, char **high)
{
	void	   *handle;
	void	   *symbol;
	Dl_info		info;
	void	   *extra = NULL;
	char	  **range[2];

	if (strstr(name, ".so") == NULL)
	{
		symbol = dlsym(RTLD_DEFAULT, name);
		if (symbol == NULL || !dladdr1(symbol, &info, &extra, RTLD_DL_SYMENT) || extra == NULL)
			elog(ERROR, "there is no function %s", name);
		*low = symbol;
		*high = *low + ((const ElfW(Sym) *) extra)->st_size;
		return;
	}
	handle = dlopen(psprintf("%s/%s", pkglib_path, name), RTLD_NOLOAD | RTLD_LAZY);
	symbol = handle ? dlsym(handle, "Pg_magic_func") : NULL;
	if (symbol == NULL || !dladdr(symbol, &info))
		elog(ERROR, "%s is not loaded", name);
	*low = *high = info.dli_fbase;
	range[0] = low;
	range[1] = high;
	dl_iterate_phdr(extend_range, range);
}

/* Maps a file, which is as large as the table, and empty where nothing was written. */
static void
map_seen(const char *name)
{
	char		path[MAXPGPATH + 50];
	int			fd;
	void	   *table;

	snprintf(path, sizeof(path), "%s/%s", crash_dir, name);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	if (fd < 0 || ftruncate(fd, MAX_PLACES * sizeof(uint64)) != 0)
		elog(ERROR, "%s: %m", path);
	table = mmap(NULL, MAX_PLACES * sizeof(uint64), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (table == MAP_FAILED)
		elog(ERROR, "%s: %m", path);
	close(fd);
	if (seen != NULL)
		munmap(seen, MAX_PLACES * sizeof(uint64));
	seen = table;
	strlcpy(seen_name, name, sizeof(seen_name));
}

/*
 * arm(kind text, n bigint, places text, by_nearest boolean)
 *
 * oom, twice, cancel or die: what happens at the n-th allocation of the next statement, or, where places are named, at the
 * first from the n-th on that is at none of these, which it becomes.
 */
Datum
inject_arm(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {[OOM] = "oom", [TWICE] = "twice", [CANCEL] = "cancel", [DIE] = "die"};
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *places = text_to_cstring(PG_GETARG_TEXT_PP(2));
	int			i = 0;

	active = false;
	while (i < (int) lengthof(names) && strcmp(names[i], name) != 0)
		i++;
	if (i == (int) lengthof(names))
		elog(ERROR, "unknown kind %s", name);
	kind = (Kind) i;
	target = PG_GETARG_INT64(1);
	at_new_place = places[0] != '\0';
	by_nearest = PG_GETARG_BOOL(3);
	if (at_new_place && strcmp(places, seen_name) != 0)
		map_seen(places);
	if ((at_new_place || kind == TWICE) && commerce_low == NULL)
		find_range("commerce.so", &commerce_low, &commerce_high);
	pending = true;
	PG_RETURN_VOID();
}

/*
 * disarm()
 *
 * Returns how many allocations were counted; when something has happened at one, its number, negative.
 */
Datum
inject_disarm(PG_FUNCTION_ARGS)
{
	active = pending = false;
	PG_RETURN_INT64(fired ? -counted : counted);
}

/*
 * reset_caches()
 *
 * What the session has kept of the catalog is forgotten, as when it was told of too many changes at once.
 */
Datum
inject_reset_caches(PG_FUNCTION_ARGS)
{
	InvalidateSystemCaches();
	PG_RETURN_VOID();
}

/*
 * under(names text[])
 *
 * Counts only allocations that come from all of these functions and libraries.
 */
Datum
inject_under(PG_FUNCTION_ARGS)
{
	Datum	   *names;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	if (n > MAX_UNDER)
		elog(ERROR, "too many names");
	nunder = 0;
	for (int i = 0; i < n; i++)
		find_range(TextDatumGetCString(names[i]), &under[i].low, &under[i].high);
	nunder = n;
	PG_RETURN_VOID();
}

/*
 * place()
 *
 * Where it happened, as crash.PID has it.
 */
Datum
inject_where(PG_FUNCTION_ARGS)
{
	StringInfoData text;

	active = pending = false;
	initStringInfo(&text);
	for (int i = 0; i < nwhere; i++)
	{
		char		line[MAXPGPATH + 200];

		put_frame(line, sizeof(line), where[i]);
		appendStringInfoString(&text, line);
	}
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}

void
_PG_init(void)
{
	const char *dir = getenv("INJECT_DIR");
	void	   *frames[2];

	if (dir)
		strlcpy(crash_dir, dir, sizeof(crash_dir));
	(void) backtrace(frames, lengthof(frames)); /* loads what it needs */
	replace_methods();
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("inject.worker_within",
								"The maintenance worker runs out of memory within so many allocations.",
								NULL, &worker_within, 0, 0, INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
	signal(SIGABRT, crashed);
	signal(SIGSEGV, crashed);
	signal(SIGBUS, crashed);
}
