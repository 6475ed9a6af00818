/*
 * cells.c
 *	  The list of cells: a file with a line for each.
 *
 *	  NUMBER REST CONNINFO
 *
 * REST is host:port of the cell's PostgREST, or -; the rest of the line is a conninfo of libpq.  A comment begins with
 * # and has a line of its own.  With a password in it the file must not be open to others.
 */
#include "cells.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <libpq-fe.h>

#include "client/log.h"
#include "client/util.h"

#define MAX_NUMBER	8999
#define BLANKS		" \t\r\n"

/* Cuts the next field off; NULL when there is none. */
static char *
next_field(char **text)
{
	char	   *field = *text + strspn(*text, BLANKS);
	char	   *end = field + strcspn(field, BLANKS);

	if (*field == '\0')
		return NULL;
	*text = *end ? end + 1 : end;
	*end = '\0';
	return field;
}

static bool
is_rest(const char *field)
{
	const char *port = strrchr(field, ':');
	int			number;

	if (strcmp(field, "-") == 0)
		return true;
	return port && port > field && number_parse(port + 1, 1, 65535, &number);
}

/* What is wrong with a conninfo; NULL when nothing is. */
static const char *
check_conninfo(const char *conninfo, bool *has_password)
{
	char	   *error = NULL;
	PQconninfoOption *options;

	if (*conninfo == '\0')
		return "after the number and REST, how to connect is missing";
	options = PQconninfoParse(conninfo, &error);
	if (options == NULL)
	{
		PQfreemem(error);
		return "how to connect is not what libpq understands";
	}
	for (PQconninfoOption *option = options; option->keyword; option++)
	{
		if (option->val && (strcmp(option->keyword, "password") == 0 || strcmp(option->keyword, "sslpassword") == 0))
			*has_password = true;
	}
	PQconninfoFree(options);
	return NULL;
}

static const char *
add_fields(CellList *cells, char *text, bool *has_password)
{
	char	   *field = next_field(&text);
	const char *why;
	size_t		length;
	int			number;

	if (field == NULL || *field == '#')
		return NULL;
	if (!number_parse(field, 0, MAX_NUMBER, &number))
		return "a line begins with the number of a cell, from 0 to 8999";
	for (int i = 0; i < cells->count; i++)
	{
		if (cells->items[i].number == number)
			return "this cell is there twice";
	}
	field = next_field(&text);
	if (field == NULL || !is_rest(field))
		return "after the number comes host:port of the cell's PostgREST, or -";
	text += strspn(text, BLANKS);
	for (length = strlen(text); length > 0 && strchr(BLANKS, text[length - 1]); length--)
		text[length - 1] = '\0';
	why = check_conninfo(text, has_password);
	if (why)
		return why;
	cells->items = xrealloc(cells->items, sizeof(CellEntry) * (size_t) (cells->count + 1));
	cells->items[cells->count++] = (CellEntry) {number, xstrdup(text)};
	return NULL;
}

const char *
cells_add(CellList *cells, const char *line, bool *has_password)
{
	char	   *copy = xstrdup(line);
	const char *why = add_fields(cells, copy, has_password);

	free(copy);
	return why;
}

static int
by_number(const void *a, const void *b)
{
	return ((const CellEntry *) a)->number - ((const CellEntry *) b)->number;
}

/* Whether the list as a whole will do. */
static bool
check_list(const char *path, CellList *cells, FILE *file, bool has_password)
{
	struct stat status;

	if (cells->count == 0)
	{
		log_error("%s: there is no cell", path);
		return false;
	}
	qsort(cells->items, (size_t) cells->count, sizeof(CellEntry), by_number);
	if (cells->items[0].number != 0)
	{
		log_error("%s: there is no cell 0", path);
		return false;
	}
	if (has_password && (fstat(fileno(file), &status) != 0 || (status.st_mode & S_IRWXO) != 0))
	{
		log_error("%s: there is a password in it, and others may read it; chmod o=, or a password file, helps", path);
		return false;
	}
	return true;
}

bool
cells_read(const char *path, CellList *cells)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;
	bool		has_password = false;
	bool		good = true;

	*cells = (CellList) {0};
	if (file == NULL)
	{
		log_error("%s: %s", path, strerror(errno));
		return false;
	}
	for (int number = 1; getline(&line, &size, file) >= 0; number++)
	{
		const char *why = cells_add(cells, line, &has_password);

		if (why)
		{
			log_error("%s:%d: %s", path, number, why);
			good = false;
		}
	}
	free(line);
	good = good && check_list(path, cells, file, has_password);
	fclose(file);
	return good;
}

void
cells_free(CellList *cells)
{
	for (int i = 0; i < cells->count; i++)
		free(cells->items[i].conninfo);
	free(cells->items);
	*cells = (CellList) {0};
}
