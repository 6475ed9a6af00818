/*
 * unit.c
 *	  Tests of those parts of commerce-mover that need no server: how units are shared, and the list of cells.
 *	  Prints TAP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "plan.h"
#include "resource.h"

#define MOST_CELLS	6
#define MOST_MOVES	16
#include "../client/tap.h"

/*
 * Plans
 */

static Share
share(int64_t available, int64_t wanted, double rate)
{
	return (Share) {.known = true, .available = available, .wanted = wanted, .rate = rate};
}

/* The moves as text: "0>1:5 2>1:3" */
static const char *
plan(const Share *shares, int n)
{
	static char text[400];
	Move		moves[MOST_MOVES];
	int			nmoves = plan_moves(shares, n, moves, MOST_MOVES);
	int			length = 0;

	text[0] = '\0';
	for (int i = 0; i < nmoves; i++)
		length += snprintf(text + length, sizeof(text) - (size_t) length, "%s%d>%d:%lld", i > 0 ? " " : "", moves[i].from,
						   moves[i].to, (long long) moves[i].units);
	return text;
}

static void
test_wants(void)
{
	Share		first[] = {share(300, 0, 0), share(0, 1, 0), share(0, 0, 0)};
	Share		last[] = {share(1, 0, 5), share(0, 1, 5), share(0, 0, 5)};
	Share		own[] = {share(3, 3, 5), share(0, 2, 5)};
	Share		some[] = {share(4, 3, 5), share(0, 2, 5)};
	Share		coming[] = {share(100, 0, 5), share(0, 5, 0)};
	Share		several[] = {share(3, 0, 0), share(2, 0, 0), share(0, 5, 0)};
	Share		two[] = {share(3, 5, 1), share(3, 4, 1)};
	Share		nothing[] = {share(0, 1, 1), share(0, 1, 1)};
	Share		down[] = {share(100, 0, 1), share(0, 1, 1)};
	Share		overdrawn[] = {share(-3, 0, 1), share(0, 1, 1)};

	is(plan(first, 3), "0>1:150", "the first want brings a fair part with it");
	is(plan(last, 3), "0>1:1", "the last unit goes where somebody waits");
	is(plan(own, 2), "", "but not from where somebody waits for it");
	is(plan(some, 2), "0>1:1", "what is beyond that one's want is for the other");
	coming[1].coming = 5;
	is(plan(coming, 2), "", "what is on its way is not fetched again");
	is(plan(several, 3), "0>2:3 1>2:2", "what one does not have several do");
	is(plan(two, 2), "0>1:1", "the least want is served first, with what another cannot be served with");
	is(plan(nothing, 2), "", "where nothing is nothing moves");
	down[0].known = false;
	is(plan(down, 2), "", "who has not answered does not give");
	down[0].known = true;
	down[1].known = false;
	is(plan(down, 2), "", "nor get");
	is(plan(overdrawn, 2), "", "less than nothing is nothing");
}

static void
test_proportion(void)
{
	Share		skewed[] = {share(900, 0, 9), share(60, 0, 89)};
	Share		enough[] = {share(800, 0, 9), share(700, 0, 89)};
	Share		trifle[] = {share(9, 0, 1), share(1, 0, 3)};
	Share		idle[] = {share(900, 0, 0), share(0, 0, 0)};

	is(plan(skewed, 2), "0>1:804", "a cell that sells and has little gets its part, and the other keeps its own");
	is(plan(enough, 2), "", "one with more than half of it does not");
	is(plan(trifle, 2), "0>1:5", "few units");
	trifle[0].available = 5;
	is(plan(trifle, 2), "", "fewer do not move without a want");
	is(plan(idle, 2), "", "nor do any to a cell that sells nothing");
}

/*
 * Whatever the cells have: units are only moved from where they are; who waits gets what there is; and what a plan has
 * made is left as it is.
 */
static void
test_any(void)
{
	const char *wrong = NULL;

	srand48(20);
	for (int round = 0; round < 100000 && wrong == NULL; round++)
	{
		int			n = 1 + (int) (drand48() * MOST_CELLS);
		Share		shares[MOST_CELLS];
		Move		moves[MOST_MOVES];
		int64_t		total = 0;
		int64_t		wanted = 0;
		int64_t		missing = 0;
		int			nmoves;

		for (int i = 0; i < n; i++)
		{
			shares[i] = share((int64_t) (drand48() * drand48() * 200), drand48() < 0.5 ? 0 : (int64_t) (drand48() * 20),
							  drand48() < 0.5 ? 0 : drand48() * 100);
			shares[i].known = drand48() < 0.9;
			total += shares[i].known ? shares[i].available : 0;
			wanted += shares[i].known ? shares[i].wanted : 0;
		}
		nmoves = plan_moves(shares, n, moves, MOST_MOVES);
		for (int i = 0; i < nmoves; i++)
		{
			if (moves[i].units <= 0 || moves[i].from == moves[i].to || !shares[moves[i].from].known || !shares[moves[i].to].known)
				wrong = "a move that is none";
			shares[moves[i].from].available -= moves[i].units;
			shares[moves[i].to].available += moves[i].units;
		}
		for (int i = 0; i < n; i++)
		{
			if (shares[i].known && shares[i].available < 0)
				wrong = "units move that are not there";
			if (shares[i].known && shares[i].available < shares[i].wanted)
				missing += shares[i].wanted - shares[i].available;
		}
		if (total >= wanted && missing > 0)
			wrong = "somebody waits, and there was enough for all";
		if (plan_moves(shares, n, moves, MOST_MOVES) > 0 && total >= wanted)
			wrong = "what has moved moves again";
	}
	is(wrong ? wrong : "", "", "100000 random plans");
}

/*
 * Rates
 */

static void
test_rates(void)
{
	ResourceList list = {.ncells = 2};
	Resource   *resource = resource_get(&list, KIND_STOCK, 7);
	double		before;

	for (int second = 0; second <= 60; second++)
		resource_saw_taken(resource, 0, 50 * second, 1000 * (second + 1));
	ok(resource->cells[0].rate > 49 && resource->cells[0].rate < 51, "what a cell sells is learned");
	before = resource->cells[0].rate;
	resource_saw_taken(resource, 0, 50, 62000);
	ok(resource->cells[0].rate > before - 1 && resource->cells[0].rate < before + 1, "a sum that begins anew is nothing sold back");
	resource_saw_taken(resource, 0, -1, 63000);
	resource_saw_taken(resource, 0, 50, 122000);
	ok(resource->cells[0].rate < 1, "and forgotten when it sells no more");
	ok(resource->cells[1].rate == 0, "of this cell only");
	ok(resource_get(&list, KIND_QUOTA, 7) != resource && resource_get(&list, KIND_STOCK, 3) != resource &&
	   resource_get(&list, KIND_STOCK, 7) == resource && list.count == 3, "resources are found again");
	resources_clear(&list);
}

/*
 * Looks
 */

static void
test_looks(void)
{
	ResourceList list = {.ncells = 3};
	Resource   *resource = resource_get(&list, KIND_STOCK, 7);
	Holding    *cells = resource->cells;
	Millis		now = 100000;

	ok(resource_due(resource, 3, now) == NEVER, "what is not sold is not looked at");
	resource->last_sale = now;
	ok(resource_due(resource, 3, now) <= now, "what is sold, and was not looked at, is at once");
	resource->last_look = now;
	for (int i = 0; i < 3; i++)
	{
		cells[i].round = 1;
		cells[i].available = 1000000;
		cells[i].rate = 10;
	}
	ok(resource_due(resource, 3, now) == now + 30000, "what will last for long is looked at seldom");
	cells[1].available = 1000;
	ok(resource_due(resource, 3, now) == now + 10000, "the sooner, the sooner one of the cells will be empty");
	cells[1].rate = 20;
	ok(resource_due(resource, 3, now) == now + 5000, "also when it begins to sell more");
	cells[1].available = 0;
	ok(resource_due(resource, 3, now) == now + 2000, "but not all the time");
	ok(resource_due(resource, 3, now + 300) == now + 2000 && resource_due(resource, 3, now + 59999) == now + 2000,
	   "whenever that is asked");
	resource->last_look = now + 300;
	ok(resource_due(resource, 3, now + 300) == now + 2000, "at the same moment as others");
	cells[1].available = 1400;
	ok(resource_due(resource, 3, now + 300) == now + 5000, "and what lasts, at one with still more of them");
	cells[1].available = 0;
	cells[1].rate = 0.001;
	ok(resource_due(resource, 3, now) == now + 30000, "a cell that has nothing and sells nothing does not count");
	ok(resource_due(resource, 3, now + 60000) == NEVER, "when nobody buys it any more, that ends");
	resource->last_want = now;
	ok(resource_due(resource, 3, now) == now + 550 && resource_due(resource, 3, now + 29999) == now + 550,
	   "what was wanted is looked at often");
	resource->last_sale = now + 30000;
	ok(resource_due(resource, 3, now + 30000) == now + 30000, "for a time");
	resources_clear(&list);
}

/*
 * The list of cells
 */

static void
test_lines(void)
{
	static const char *const bad[] = {
		"x - dbname=shop", "-1 - dbname=shop", "9000 - dbname=shop", "1", "1 -", "1 host dbname=shop", "1 :3000 dbname=shop",
		"1 h:0 dbname=shop", "1 h:x dbname=shop", "1 - dbname", "1 - nonsense=1", "0 - dbname=shop", "1 dbname=shop"
	};
	CellList	cells = {0};
	bool		has_password = false;

	ok(cells_add(&cells, "", &has_password) == NULL && cells_add(&cells, " \t# 1 - dbname=x\n", &has_password) == NULL &&
	   cells.count == 0, "lines without a cell");
	ok(cells_add(&cells, "0\t10.0.0.1:3000   host=10.0.0.1 dbname='a b' \r\n", &has_password) == NULL, "a cell");
	ok(cells.count == 1 && cells.items[0].number == 0, "is there");
	is(cells.items[0].conninfo, "host=10.0.0.1 dbname='a b'", "with how to connect");
	ok(cells_add(&cells, "  8999 [::1]:80 postgresql://h/shop", &has_password) == NULL && cells.count == 2 && !has_password, "another");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(cells_add(&cells, bad[i], &has_password) != NULL, bad[i]);
	ok(cells.count == 2, "what is wrong adds nothing");
	ok(cells_add(&cells, "2 - postgresql://u:secret@h/shop", &has_password) == NULL && has_password, "a password is seen");
	cells_free(&cells);
}

int
main(void)
{
	test_wants();
	test_proportion();
	test_any();
	test_rates();
	test_looks();
	test_lines();
	printf("1..%d\n", tests);
	return failures > 0;
}
