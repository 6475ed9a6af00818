/*
 * transfer.c
 *	  Units on their way from one cell to another; owns the list of transfers that are not finished.
 *
 * A transfer is three transactions: the one cell sends, the other receives once that is committed, the first is told.
 * What is in this list is what the mover knows of them; what is true is in the cells.  So whatever is lost here, such
 * as with the answer to a send, is found again by a look at what is open in each cell (look.c), and receiving twice
 * does nothing.
 */
#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client/log.h"

#define RETRY_DELAY		500
#define NOTHING_DELAY	25		/* when those who had units have sold them, or may give them back */

typedef enum TransferState
{
	TRANSFER_PLANNED,
	TRANSFER_SENT,				/* to be received */
	TRANSFER_RECEIVED			/* the sender is to be told */
} TransferState;

struct Transfer
{
	Transfer   *next;
	char		id[37];
	Resource   *resource;
	int			from;			/* places of cells; to is -1 when the list does not have it */
	int			to;
	int64_t		units;
	TransferState state;
	bool		busy;			/* its next query is under way */
	Millis		next_try;
};

/* A random one, version 4 */
static void
make_id(char *id)
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t) sizeof(b))
		log_fatal("could not get random bytes");
	b[6] = (unsigned char) ((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char) ((b[8] & 0x3f) | 0x80);
	snprintf(id, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static Transfer *
add(Mover *mover, Resource *resource, int from, int to, int64_t units)
{
	Transfer   *transfer = xcalloc(1, sizeof(Transfer));
	Transfer  **end = &mover->transfers;

	transfer->resource = resource;
	transfer->from = from;
	transfer->to = to;
	transfer->units = units;
	/* the oldest is the next */
	while (*end)
		end = &(*end)->next;
	*end = transfer;
	return transfer;
}

static void
drop(Mover *mover, Transfer *transfer)
{
	Transfer  **place = &mover->transfers;

	while (*place != transfer)
		place = &(*place)->next;
	*place = transfer->next;
	free(transfer);
}

void
transfer_plan(Mover *mover, Resource *resource, const Move *move)
{
	make_id(add(mover, resource, move->from, move->to, move->units)->id);
}

void
transfer_adopt(Mover *mover, int from, const char *id, Resource *resource, int64_t units, int to)
{
	Transfer   *transfer;

	for (transfer = mover->transfers; transfer; transfer = transfer->next)
	{
		if (strcmp(transfer->id, id) == 0)
			return;
	}
	transfer = add(mover, resource, from, to, units);
	snprintf(transfer->id, sizeof(transfer->id), "%s", id);
	transfer->state = TRANSFER_SENT;
	log_info("finishing a transfer of %lld units of %s %lld from cell %d", (long long) units,
			 kind_names[resource->kind], (long long) resource->id, mover->cells[from].number);
}

/* The place of the cell that is to do the next thing. */
static int
place_of_next(const Transfer *transfer)
{
	return transfer->state == TRANSFER_SENT ? transfer->to : transfer->from;
}

/* Begins a query with the first so many of the parameters that there are. */
static void
ask(Mover *mover, Cell *cell, Transfer *transfer, Job job, const char *sql, int nparameters)
{
	int			other = job == JOB_SEND ? transfer->to : transfer->from;
	char	   *resource_id = xformat("%lld", (long long) transfer->resource->id);
	char	   *units = xformat("%lld", (long long) transfer->units);
	char	   *number = xformat("%d", mover->cells[other].number);
	Parameter	parameters[] = {
		{.value = transfer->id}, {.value = kind_names[transfer->resource->kind]}, {.value = resource_id},
		{.value = units}, {.value = number}
	};

	transfer->busy = true;
	cell->transfer = transfer;
	cell_ask(cell, job, sql, parameters, nparameters);
	free(resource_id);
	free(units);
	free(number);
}

/* The one that this cell can go on with; what somebody waits for goes before receipts. */
static Transfer *
find_next(const Mover *mover, const Cell *cell, Millis now)
{
	Transfer   *receipt = NULL;

	for (Transfer *transfer = mover->transfers; transfer; transfer = transfer->next)
	{
		int			place = place_of_next(transfer);

		if (transfer->busy || now < transfer->next_try || place < 0 || &mover->cells[place] != cell)
			continue;
		if (transfer->state != TRANSFER_RECEIVED)
			return transfer;
		if (receipt == NULL)
			receipt = transfer;
	}
	return receipt;
}

bool
transfer_begin(Mover *mover, Cell *cell, Millis now)
{
	Transfer   *transfer = find_next(mover, cell, now);

	if (transfer == NULL)
		return false;
	switch (transfer->state)
	{
		case TRANSFER_PLANNED:
			ask(mover, cell, transfer, JOB_SEND, "SELECT commerce.send_units($1, $2, $3, $4, $5)", 5);
			break;
		case TRANSFER_SENT:
			ask(mover, cell, transfer, JOB_RECEIVE, "SELECT commerce.receive_units($1, $2, $3, $4, $5)", 5);
			break;
		case TRANSFER_RECEIVED:
			ask(mover, cell, transfer, JOB_CONFIRM, "SELECT commerce.confirm_transfer($1)", 1);
			break;
	}
	return true;
}

static void
sent(Mover *mover, Cell *cell, Transfer *transfer, const PGresult *answer, Millis now)
{
	transfer->resource->moved_round = mover->round.number;
	if (answer == NULL)
	{
		cell_complain(cell, &cell->work, "could not send units");
		transfer->resource->next_look = now + RETRY_DELAY;
		drop(mover, transfer);
		return;
	}
	transfer->units = strtoll(PQgetvalue(answer, 0, 0), NULL, 10);
	if (transfer->units == 0)
	{
		transfer->resource->next_look = now + NOTHING_DELAY;
		drop(mover, transfer);
		return;
	}
	transfer->state = TRANSFER_SENT;
	cell->transfers_sent++;
	cell->units_sent += transfer->units;
}

static void
received(Mover *mover, Cell *cell, Transfer *transfer, const PGresult *answer, Millis now)
{
	Resource   *resource = transfer->resource;

	resource->moved_round = mover->round.number;
	if (answer == NULL)
	{
		/* such as a product that the catalogue has not brought there yet */
		cell_complain(cell, &cell->work, "could not receive units");
		transfer->next_try = now + RETRY_DELAY;
		return;
	}
	log_debug("%s %lld: %lld units from cell %d to cell %d", kind_names[resource->kind], (long long) resource->id,
			  (long long) transfer->units, mover->cells[transfer->from].number, cell->number);
	transfer->state = TRANSFER_RECEIVED;
	/* whoever waits and has not enough by it will say so again */
	resource->cells[transfer->to].want_until = 0;
	if (resource->next_look > now)
		resource->next_look = now;
}

static void
confirmed(Mover *mover, Cell *cell, Transfer *transfer, const PGresult *answer)
{
	if (answer == NULL)
		cell_complain(cell, &cell->work, "could not confirm a transfer");
	/* if that has failed, a look finds it again */
	drop(mover, transfer);
}

void
transfer_answered(Mover *mover, Cell *cell, Millis now)
{
	const PGresult *answer = cell_answer(cell);
	Transfer   *transfer = cell->transfer;

	/* it may be forgotten */
	if (transfer == NULL)
		return;
	cell->transfer = NULL;
	transfer->busy = false;
	if (cell->job == JOB_SEND)
		sent(mover, cell, transfer, answer, now);
	else if (cell->job == JOB_RECEIVE)
		received(mover, cell, transfer, answer, now);
	else
		confirmed(mover, cell, transfer, answer);
}

void
transfer_lost(Mover *mover, Cell *cell)
{
	Transfer   *transfer = cell->transfer;
	int			place = (int) (cell - mover->cells);
	Transfer   *next;

	cell->transfer = NULL;
	if (transfer)
	{
		transfer->busy = false;
		transfer->resource->moved_round = mover->round.number;
		/* whether it was sent, or confirmed, a look will tell once the cell is back */
		if (transfer->state != TRANSFER_SENT)
			drop(mover, transfer);
	}
	/* what was to be sent from here is decided anew, too */
	for (transfer = mover->transfers; transfer; transfer = next)
	{
		next = transfer->next;
		if (transfer->state == TRANSFER_PLANNED && !transfer->busy && (transfer->from == place || transfer->to == place))
			drop(mover, transfer);
	}
}

int64_t
transfer_coming(const Mover *mover, const Resource *resource, int to)
{
	int64_t		units = 0;

	for (const Transfer *transfer = mover->transfers; transfer; transfer = transfer->next)
	{
		if (transfer->resource == resource && transfer->state == TRANSFER_SENT && (to < 0 || transfer->to == to))
			units += transfer->units;
	}
	return units;
}

bool
transfer_is_moving(const Mover *mover, const Resource *resource, Millis now)
{
	for (const Transfer *transfer = mover->transfers; transfer; transfer = transfer->next)
	{
		int			place = place_of_next(transfer);

		if ((resource == NULL || (transfer->resource == resource && transfer->state != TRANSFER_RECEIVED)) &&
			now >= transfer->next_try && place >= 0 && cell_is_up(&mover->cells[place]) &&
			!cell_is_late(&mover->cells[place], now))
			return true;
	}
	return false;
}

Millis
transfer_deadline(const Mover *mover, Millis now)
{
	Millis		deadline = NEVER;

	for (const Transfer *transfer = mover->transfers; transfer; transfer = transfer->next)
	{
		if (transfer->next_try > now)
			sooner(&deadline, transfer->next_try);
	}
	return deadline;
}

int
transfer_count_open(const Mover *mover)
{
	int			count = 0;

	for (const Transfer *transfer = mover->transfers; transfer; transfer = transfer->next)
		count += transfer->state == TRANSFER_SENT;
	return count;
}

void
transfer_drop_plans(Mover *mover)
{
	Transfer   *next;

	for (Transfer *transfer = mover->transfers; transfer; transfer = next)
	{
		next = transfer->next;
		if (transfer->state == TRANSFER_PLANNED && !transfer->busy)
			drop(mover, transfer);
	}
}

void
transfer_forget(Mover *mover)
{
	for (int i = 0; i < mover->ncells; i++)
		mover->cells[i].transfer = NULL;
	while (mover->transfers)
		drop(mover, mover->transfers);
}
