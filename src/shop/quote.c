/*
 * quote.c
 *	  From a request's arguments to a priced quote: the form of the request is checked here, and every
 *	  coupon finds its place.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "base/error.h"
#include "shop/coupon.h"
#include "shop/order_item.h"
#include "shop/product.h"
#include "shop/quote.h"
#include "shop/user.h"

#define MAX_LINES	1000
#define MAX_DIGITS	19				/* of a bigint */

/* A whole number of the request, at least 1; drivers hand a bigint over as a string of digits. */
static int64
parse_positive(const JsonbValue *value, int line, const char *name)
{
	int64		number = 0;
	char	   *digits = NULL;

	if (value->type == jbvNumeric)
	{
		char	   *point;

		digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		/* 1.0 is a whole number in JSON */
		point = strchr(digits, '.');
		if (point && point[1 + strspn(point + 1, "0")] == '\0')
			*point = '\0';
	}
	else if (value->type == jbvString && value->val.string.len <= MAX_DIGITS)
		digits = pnstrdup(value->val.string.val, value->val.string.len);
	if (digits)
	{
		errno = 0;
		number = strtoi64(digits, NULL, 10);
		/* strtoi64() takes blanks and a sign too */
		if (errno != 0 || digits[strspn(digits, "0123456789")] != '\0')
			number = 0;
		pfree(digits);
	}
	if (number < 1)
		raise_invalid(psprintf("items[%d].%s", line, name), "must be a whole number from 1 to " INT64_FORMAT,
					  PG_INT64_MAX);
	return number;
}

static bool
key_is(const JsonbValue *key, const char *name)
{
	return key->val.string.len == (int) strlen(name) &&
		memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

/* Reads one object of items; number is its index. */
static void
parse_line(RequestLine *line, JsonbContainer *object, int number)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (key_is(&key, "product_id"))
			line->product_id = parse_positive(&value, number, "product_id");
		else if (key_is(&key, "quantity"))
			line->quantity = parse_positive(&value, number, "quantity");
		else if (key_is(&key, "coupon_issue_id"))
		{
			if (value.type != jbvNull)
				line->coupon_issue_id = parse_positive(&value, number, "coupon_issue_id");
		}
		else
			raise_invalid(psprintf("items[%d].%s", number, pnstrdup(key.val.string.val, pg_mbcliplen(key.val.string.val, key.val.string.len, 64))),
						  "is not known");
	}
	if (line->product_id == 0)
		raise_invalid(psprintf("items[%d].product_id", number), "is missing");
	if (line->quantity == 0)
		raise_invalid(psprintf("items[%d].quantity", number), "is missing");
	line->position = number;
}

static int
compare_int64(const void *a, const void *b)
{
	int64		ia = *(const int64 *) a;
	int64		ib = *(const int64 *) b;

	return ia < ib ? -1 : ia > ib;
}

int
quote_product_index(const QuoteRequest *request, int64 product_id)
{
	const int64 *found = bsearch(&product_id, request->product_ids, request->nproducts, sizeof(int64), compare_int64);

	return found ? (int) (found - request->product_ids) : -1;
}

static int
compare_lines(const void *a, const void *b)
{
	const RequestLine *la = a;
	const RequestLine *lb = b;

	if (la->product_id != lb->product_id)
		return la->product_id < lb->product_id ? -1 : 1;
	if (la->coupon_issue_id != lb->coupon_issue_id)
		return la->coupon_issue_id < lb->coupon_issue_id ? -1 : 1;
	return la->position - lb->position;
}

static int
compare_positions(const void *a, const void *b)
{
	return ((const RequestLine *) a)->position - ((const RequestLine *) b)->position;
}

/* Adds up lines of the same product and coupon, and lists the products with what is asked of each. */
static void
merge_lines(QuoteRequest *request)
{
	RequestLine *lines = request->lines;
	int			kept = 0;

	qsort(lines, request->nlines, sizeof(RequestLine), compare_lines);
	for (int i = 0; i < request->nlines; i++)
	{
		RequestLine *last = kept > 0 ? &lines[kept - 1] : NULL;
		int64	   *units;

		if (last == NULL || last->product_id != lines[i].product_id)
			request->product_ids[request->nproducts++] = lines[i].product_id;
		units = &request->units[request->nproducts - 1];
		if (pg_add_s64_overflow(*units, lines[i].quantity, units))
			raise_invalid("items", "ask for too many of product " INT64_FORMAT, lines[i].product_id);
		if (last && last->product_id == lines[i].product_id && last->coupon_issue_id == lines[i].coupon_issue_id)
			last->quantity += lines[i].quantity;
		else
			lines[kept++] = lines[i];
	}
	request->nlines = kept;
	qsort(lines, kept, sizeof(RequestLine), compare_positions);
}

static void
parse_items(QuoteRequest *request, Jsonb *items)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	int			n;

	if (items && JB_ROOT_IS_SCALAR(items) && JsonbExtractScalar(&items->root, &value) && value.type == jbvString)
		raise_invalid("items", "must be a JSON array, not a string that holds one: hand it over as JSON");
	if (items == NULL || !JB_ROOT_IS_ARRAY(items) || JB_ROOT_IS_SCALAR(items))
		raise_invalid("items", "must be an array of {\"product_id\", \"quantity\"} objects");
	n = JB_ROOT_COUNT(items);
	if (n < 1 || n > MAX_LINES)
		raise_invalid("items", "must have 1 to %d lines, not %d", MAX_LINES, n);

	request->lines = palloc0(n * sizeof(RequestLine));
	request->product_ids = palloc(n * sizeof(int64));
	request->units = palloc0(n * sizeof(int64));
	iterator = JsonbIteratorInit(&items->root);
	(void) JsonbIteratorNext(&iterator, &value, true);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) == WJB_ELEM)
	{
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			raise_invalid(psprintf("items[%d]", request->nlines), "must be an object");
		parse_line(&request->lines[request->nlines], value.val.binary.data, request->nlines);
		request->nlines++;
	}
	merge_lines(request);
}

static void
parse_order_coupons(QuoteRequest *request, ArrayType *array)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (array == NULL || ARR_NDIM(array) == 0)
		return;
	if (ARR_NDIM(array) != 1)
		raise_invalid("coupon_issue_ids", "must be an array of one dimension");
	if (ArrayGetNItems(1, ARR_DIMS(array)) > MAX_LINES)
		raise_invalid("coupon_issue_ids", "must have at most %d elements", MAX_LINES);
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, &nulls, &n);
	request->order_coupon_ids = palloc(n * sizeof(int64));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			raise_invalid(psprintf("coupon_issue_ids[%d]", i), "must not be null");
		request->order_coupon_ids[i] = DatumGetInt64(elements[i]);
	}
	request->norder_coupons = n;
	qsort(request->order_coupon_ids, n, sizeof(int64), compare_int64);
}

/* Lists all coupons of the request, each of which may be named once. */
static void
list_coupons(QuoteRequest *request)
{
	int64	   *ids = palloc((request->nlines + request->norder_coupons) * sizeof(int64));
	int			n = 0;

	for (int i = 0; i < request->nlines; i++)
		if (request->lines[i].coupon_issue_id != 0)
			ids[n++] = request->lines[i].coupon_issue_id;
	for (int i = 0; i < request->norder_coupons; i++)
		ids[n++] = request->order_coupon_ids[i];
	qsort(ids, n, sizeof(int64), compare_int64);
	for (int i = 1; i < n; i++)
		if (ids[i] == ids[i - 1])
			raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", ids[i]),
						D_REASON(REASON_NAMED_TWICE));
	request->ncoupons = n;
	request->coupon_issue_ids = ids;
}

QuoteRequest *
quote_parse(Jsonb *items, ArrayType *coupon_issue_ids)
{
	QuoteRequest *request = palloc0(sizeof(QuoteRequest));

	parse_items(request, items);
	parse_order_coupons(request, coupon_issue_ids);
	list_coupons(request);
	return request;
}

char *
quote_canonical(const QuoteRequest *request)
{
	RequestLine *lines = palloc(request->nlines * sizeof(RequestLine));
	StringInfoData buf;

	initStringInfo(&buf);
	memcpy(lines, request->lines, request->nlines * sizeof(RequestLine));
	qsort(lines, request->nlines, sizeof(RequestLine), compare_lines);
	for (int i = 0; i < request->nlines; i++)
		appendStringInfo(&buf, INT64_FORMAT ":" INT64_FORMAT ":" INT64_FORMAT ";", lines[i].product_id,
						 lines[i].coupon_issue_id, lines[i].quantity);
	for (int i = 0; i < request->norder_coupons; i++)
		appendStringInfo(&buf, "," INT64_FORMAT, request->order_coupon_ids[i]);
	pfree(lines);
	return buf.data;
}

static void *
find_by_id(void *array, int n, size_t size, int64 id)
{
	/* the id is the first member of what is searched */
	return bsearch(&id, array, n, size, compare_int64);
}

/* Tells each product how many units are asked of it, and where in the request it is asked for first. */
static void
note_demand(Quote *quote, const QuoteRequest *request)
{
	for (int i = 0; i < quote->nproducts; i++)
		quote->products[i].demand = request->units[i];
	for (int i = request->nlines - 1; i >= 0; i--)
		quote->products[quote_product_index(request, request->lines[i].product_id)].index = request->lines[i].position;
}

/* Whether each product can be ordered, and as many units as are asked of it in one order. */
static void
check_products(const Quote *quote)
{
	for (int i = 0; i < quote->nproducts; i++)
	{
		const Product *product = &quote->products[i];

		if (!product->on_sale)
			raise_error(ERROR_PRODUCT_NOT_ON_SALE, D_INT("product_id", product->id), D_INT("index", product->index));
		if (!product->seller_active)
			raise_error(ERROR_PRODUCT_NOT_ON_SALE, D_INT("product_id", product->id),
						D_INT("seller_id", product->seller_id), D_INT("index", product->index));
		if (product->max_per_order > 0 && product->demand > product->max_per_order)
			raise_error(ERROR_PURCHASE_LIMIT_EXCEEDED, D_INT("product_id", product->id),
						D_INT("asked", product->demand), D_INT("limit", product->max_per_order),
						D_INT("index", product->index));
	}
}

/*
 * Whether the user may have as many units in all.  With lock his row is locked first, so that of several orders
 * of his at once each sees those before it; without a limit nothing is locked or read.
 */
static void
check_user_limits(int64 user_id, const Quote *quote, bool lock)
{
	bool		locked = !lock;

	for (int i = 0; i < quote->nproducts; i++)
	{
		const Product *product = &quote->products[i];

		if (product->max_per_user == 0)
			continue;
		if (!locked)
			locked = user_lock(user_id, false);
		order_items_require_limit(user_id, product->id, product->demand, product->max_per_user, product->index);
	}
}

/* The coupon that a line asks for, which must be one of its product. */
static Coupon *
line_coupon(Quote *quote, const RequestLine *line)
{
	Coupon	   *coupon;

	if (line->coupon_issue_id == 0)
		return NULL;
	coupon = find_by_id(quote->coupons, quote->ncoupons, sizeof(Coupon), line->coupon_issue_id);
	if (coupon->scope != COUPON_SCOPE_PRODUCT)
		raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", coupon->issue_id),
					D_REASON(REASON_FOR_THE_ORDER));
	if (coupon->product_id != line->product_id)
		raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", coupon->issue_id),
					D_REASON(REASON_OTHER_PRODUCT));
	coupon->chosen = true;
	return coupon;
}

/*
 * Makes the rows of a request's line: one, or two where the line's coupon covers only some of its units, those
 * first.
 */
static void
add_rows(Quote *quote, const RequestLine *line, int number)
{
	QuoteLine  *row = &quote->lines[quote->nlines++];

	row->product = find_by_id(quote->products, quote->nproducts, sizeof(Product), line->product_id);
	row->coupon = line_coupon(quote, line);
	row->line.number = number;
	row->line.product_id = line->product_id;
	row->line.quantity = line->quantity;
	row->line.coupon_issue_id = line->coupon_issue_id;
	if (row->coupon && row->coupon->max_units > 0 && line->quantity > row->coupon->max_units)
	{
		QuoteLine  *rest = &quote->lines[quote->nlines++];

		rest->product = row->product;
		rest->rest = true;
		rest->line.number = number;
		rest->line.product_id = line->product_id;
		rest->line.quantity = line->quantity - row->coupon->max_units;
		row->line.quantity = row->coupon->max_units;
	}
}

/* Makes the rows of all lines; an order's coupon must not be in a line, nor the other way round. */
static void
make_rows(Quote *quote, const QuoteRequest *request)
{
	quote->lines = palloc0(2 * request->nlines * sizeof(QuoteLine));
	for (int i = 0; i < request->nlines; i++)
		add_rows(quote, &request->lines[i], i + 1);
	for (int i = 0; i < quote->ncoupons; i++)
		if (quote->coupons[i].scope == COUPON_SCOPE_PRODUCT && !quote->coupons[i].chosen)
			raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", quote->coupons[i].issue_id),
						D_REASON(REASON_FOR_A_LINE));
}

Quote *
quote_make(int64 user_id, const QuoteRequest *request, bool lock)
{
	Quote	   *quote = palloc0(sizeof(Quote));

	quote->nproducts = request->nproducts;
	quote->products = product_read(request->product_ids, request->nproducts);
	note_demand(quote, request);
	check_products(quote);
	check_user_limits(user_id, quote, lock);
	if (request->ncoupons > 0)
	{
		quote->ncoupons = request->ncoupons;
		quote->coupons = coupon_read(user_id, request->coupon_issue_ids, request->ncoupons, lock);
	}
	make_rows(quote, request);
	pricing_compute(quote);
	return quote;
}
