/*
 * cells.h
 *	  The list of cells, which is one file for everything that connects to them.
 */
#ifndef MOVER_CELLS_H
#define MOVER_CELLS_H

#include <stdbool.h>

typedef struct CellEntry
{
	int			number;
	char	   *conninfo;
} CellEntry;

typedef struct CellList
{
	CellEntry  *items;			/* by number, once it is read */
	int			count;
} CellList;

/* Adds a cell that a line names, or nothing when the line has none; NULL, or what is wrong. */
extern const char *cells_add(CellList *cells, const char *line, bool *has_password);

/*
 * Reads the file.  What is wrong with it is logged, line by line, but never what a line says; false when there
 * was anything.
 */
extern bool cells_read(const char *path, CellList *cells);

extern void cells_free(CellList *cells);

#endif
