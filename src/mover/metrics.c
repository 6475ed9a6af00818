/*
 * metrics.c
 *	  What the mover tells who watches it: a file in the text format of Prometheus, as node_exporter's textfile
 *	  collector reads it.  It is written beside its place and then renamed, so that it is whole at any time.
 */
#include "metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/buffer.h"
#include "client/log.h"
#include "transfer.h"

static void
append_type(PQExpBuffer text, const char *name, const char *type, const char *help)
{
	appendPQExpBuffer(text, "# HELP commerce_mover_%s %s\n# TYPE commerce_mover_%s %s\n", name, help, name, type);
}

static void
append_value(PQExpBuffer text, const char *name, const char *type, const char *help, int64_t value)
{
	append_type(text, name, type, help);
	appendPQExpBuffer(text, "commerce_mover_%s %lld\n", name, (long long) value);
}

static int64_t
cell_up(const Cell *cell)
{
	return cell->work.prepared;
}

static int64_t
cell_wants(const Cell *cell)
{
	return cell->wants_seen;
}

static int64_t
cell_hints(const Cell *cell)
{
	return cell->hints_written;
}

static int64_t
cell_transfers(const Cell *cell)
{
	return cell->transfers_sent;
}

static int64_t
cell_units(const Cell *cell)
{
	return cell->units_sent;
}

static const struct
{
	const char *name;
	const char *type;
	const char *help;
	int64_t		(*value) (const Cell *cell);
}			of_cells[] = {
	{"cell_up", "gauge", "Whether the cell can be reached.", cell_up},
	{"wants_total", "counter", "Times that somebody in the cell was seen to wait for units.", cell_wants},
	{"hints_total", "counter", "Times that the cell was told what the others have of a product or coupon.", cell_hints},
	{"transfers_total", "counter", "Transfers that this mover had the cell send.", cell_transfers},
	{"units_total", "counter", "Units that these transfers had.", cell_units}
};

static void
append_cells(PQExpBuffer text, const Mover *mover)
{
	for (size_t i = 0; i < sizeof(of_cells) / sizeof(of_cells[0]); i++)
	{
		append_type(text, of_cells[i].name, of_cells[i].type, of_cells[i].help);
		for (int cell = 0; cell < mover->ncells; cell++)
			appendPQExpBuffer(text, "commerce_mover_%s{cell=\"%d\"} %lld\n", of_cells[i].name, mover->cells[cell].number,
							  (long long) of_cells[i].value(&mover->cells[cell]));
	}
}

static bool
write_file(const char *path, const char *text)
{
	FILE	   *file = fopen(path, "w");
	bool		good;

	if (file == NULL)
		return false;
	good = fputs(text, file) >= 0;
	return fclose(file) == 0 && good;
}

void
metrics_write(const Mover *mover)
{
	PQExpBufferData text;
	char	   *beside = xformat("%s.new", mover->metrics);

	initPQExpBuffer(&text);
	append_value(&text, "leading", "gauge", "Whether this mover shares units out, or stands by.", mover->leading);
	append_value(&text, "times_leading_total", "counter", "Times that it has begun to.", mover->times_leading);
	append_value(&text, "looks_total", "counter", "Looks at all cells.", mover->rounds);
	append_value(&text, "resources", "gauge", "Products and coupons that it knows of.", mover->resources.count);
	append_value(&text, "open_transfers", "gauge", "Transfers that were sent and not received.", transfer_count_open(mover));
	append_cells(&text, mover);
	buffer_check(&text);
	if (!write_file(beside, text.data) || rename(beside, mover->metrics) != 0)
		log_error("%s: %s", beside, strerror(errno));
	free(beside);
	termPQExpBuffer(&text);
}
