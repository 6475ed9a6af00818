/*
 * tap.h
 *	  Checks of programs in C that print TAP.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int	tests = 0;
static int	failures = 0;

static void
ok(bool passed, const char *what)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, what);
	failures += !passed;
}

static void
is(const char *got, const char *expected, const char *what)
{
	bool		same = strcmp(got, expected) == 0;

	ok(same, what);
	if (!same)
		printf("# got      %s\n# expected %s\n", got, expected);
}
