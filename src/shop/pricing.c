/*
 * pricing.c
 *	  What an order costs: arithmetic alone, no table is read here.
 *
 * In this order:
 * 1. per unit, the larger of the product's instant discount and its running promotions;
 * 2. per line, at most one product coupon, per unit, for at most so many units: these are a row of their own;
 * 3. at most one order coupon, on the eligible lines after 1 and 2 (a seller's coupon: that seller's);
 * 4. shipping: a line's own fee; lines without one share their seller's policy, once per order, which sends them
 *	  free when what they come to after 3 reaches an amount;
 * 5. at most one free-shipping coupon (a seller's: that seller's fees).
 *
 * The order coupon is spread over the eligible lines by largest remainder (Hamilton's method of
 * apportionment): each line gets the floor of its proportional share, and the units that are left go one
 * each to the lines with the largest remainders, ties to the lower line.  Every sum is checked for
 * overflow.
 */
#include "postgres.h"

#include "common/int.h"

#include "base/compat.h"
#include "base/error.h"
#include "shop/pricing.h"

/* 2^53 - 1: below it every JSON client reads a number exactly. */
#define MAX_PAYMENT		INT64CONST(9007199254740991)

static int64
checked_add(int64 a, int64 b)
{
	int64		sum;

	if (pg_add_s64_overflow(a, b, &sum))
		raise_invalid("items", "come to a total that is out of range");
	return sum;
}

static int64
checked_multiply(int64 a, int64 b)
{
	int64		product;

	if (pg_mul_s64_overflow(a, b, &product))
		raise_invalid("items", "come to a total that is out of range");
	return product;
}

int64
pricing_percent_of(int64 value, int64 percent)
{
	return value / 100 * percent + value % 100 * percent / 100;
}

int64
pricing_share_of(int64 total, int64 part, int64 whole)
{
	return (int64) ((int128) total * part / whole);
}

/* What a coupon takes off base. */
static int64
coupon_amount(const Coupon *coupon, int64 base)
{
	int64		amount = base;

	if (coupon->kind == COUPON_KIND_FIXED)
		amount = coupon->value;
	else if (coupon->kind == COUPON_KIND_PERCENT)
	{
		amount = pricing_percent_of(base, coupon->value);
		amount -= amount % coupon->round_unit;
	}
	if (coupon->max_discount > 0)
		amount = Min(amount, coupon->max_discount);
	return Min(amount, base);
}

static void
price_row(QuoteLine *row)
{
	Line	   *line = &row->line;
	const Product *product = row->product;
	Coupon	   *coupon = row->coupon;
	int64		unit;

	line->seller_id = product->seller_id;
	line->product_name = product->name;
	line->tax_exempt = product->tax_exempt;
	line->own_shipping = product->has_own_fee;
	line->user_limit = product->max_per_user;
	line->unit_price = product->price;
	line->unit_discount = Min(product->reduction, line->unit_price);
	if (coupon)
	{
		unit = coupon_amount(coupon, line->unit_price - line->unit_discount);
		line->unit_discount += unit;
		coupon->discount = checked_multiply(unit, line->quantity);
	}
	line->unit_final = line->unit_price - line->unit_discount;
	line->line_total = checked_multiply(line->unit_final, line->quantity);
}

/*
 * Whether a product coupon's minimum is met: by its whole line, at the prices before its own discount.  The row
 * it is on may be followed by the rest of the line.
 */
static void
require_minimum(const QuoteLine *row, const QuoteLine *rest)
{
	const Coupon *coupon = row->coupon;
	int64		units = row->line.quantity + (rest ? rest->line.quantity : 0);
	int64		amount = checked_multiply(row->line.unit_price - Min(row->product->reduction, row->line.unit_price), units);

	if (amount < coupon->min_order_amount)
		raise_error(ERROR_COUPON_CONDITION_NOT_MET, D_INT("coupon_issue_id", coupon->issue_id),
					D_INT("min_order_amount", coupon->min_order_amount), D_INT("amount", amount),
					D_REASON(REASON_BELOW_MINIMUM));
}

static bool
counts_on(const Coupon *coupon, const Line *line)
{
	return coupon->scope == COUPON_SCOPE_ORDER || line->seller_id == coupon->seller_id;
}

typedef struct Remainder
{
	int			line;
	int64		remainder;
} Remainder;

static int
compare_remainders(const void *a, const void *b)
{
	const Remainder *ra = a;
	const Remainder *rb = b;

	if (ra->remainder != rb->remainder)
		return ra->remainder > rb->remainder ? -1 : 1;
	return ra->line - rb->line;
}

/* Spreads amount over n weights, whose sum is total >= amount, into shares. */
static void
spread(int64 amount, int64 total, const int64 *weights, int n, int64 *shares)
{
	Remainder  *remainders = palloc(n * sizeof(Remainder));
	int64		left = amount;

	for (int i = 0; i < n; i++)
	{
		shares[i] = pricing_share_of(amount, weights[i], total);
		remainders[i].line = i;
		remainders[i].remainder = (int64) ((int128) amount * weights[i] % total);
		left -= shares[i];
	}
	qsort(remainders, n, sizeof(Remainder), compare_remainders);
	for (int i = 0; i < left; i++)
		shares[remainders[i].line]++;
	pfree(remainders);
}

/* Applies a coupon of the order, to the lines' totals or, for free shipping, to their fees. */
static void
apply_order_coupon(Quote *quote, Coupon *coupon)
{
	bool		shipping = (coupon->kind == COUPON_KIND_FREE_SHIPPING);
	int64	   *weights = palloc0(quote->nlines * sizeof(int64));
	int64	   *shares = palloc0(quote->nlines * sizeof(int64));
	int64		subtotal = 0;
	int64		base = 0;
	bool		counts = false;

	for (int i = 0; i < quote->nlines; i++)
	{
		const Line *line = &quote->lines[i].line;

		if (!counts_on(coupon, line))
			continue;
		counts = true;
		weights[i] = shipping ? line->shipping_fee : line->line_total;
		subtotal = checked_add(subtotal, line->line_total);
		base = checked_add(base, weights[i]);
	}
	if (!counts)
		raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", coupon->issue_id),
					D_REASON(REASON_OTHER_SELLER));
	if (subtotal < coupon->min_order_amount)
		raise_error(ERROR_COUPON_CONDITION_NOT_MET, D_INT("coupon_issue_id", coupon->issue_id),
					D_INT("min_order_amount", coupon->min_order_amount), D_INT("amount", subtotal),
					D_REASON(REASON_BELOW_MINIMUM));

	coupon->discount = coupon_amount(coupon, base);
	if (coupon->discount > 0)
		spread(coupon->discount, base, weights, quote->nlines, shares);
	for (int i = 0; i < quote->nlines; i++)
	{
		if (shipping)
			quote->lines[i].line.shipping_discount = shares[i];
		else
			quote->lines[i].line.order_discount_share = shares[i];
	}
	if (shipping)
		quote->totals.shipping_discount = coupon->discount;
	else
		quote->totals.order_discount = coupon->discount;
}

/* What lines without a fee of their own come to, of one seller (0: the shop), after all discounts on goods. */
static int64
goods_under_policy(const Quote *quote, int64 seller_id)
{
	int64		goods = 0;

	for (int i = 0; i < quote->nlines; i++)
	{
		const Line *line = &quote->lines[i].line;

		if (!quote->lines[i].product->has_own_fee && line->seller_id == seller_id)
			goods = checked_add(goods, line->line_total - line->order_discount_share);
	}
	return goods;
}

/* Whether an earlier row stands for the same fee: of the same line, or under the same seller's policy. */
static bool
fee_stands_before(const Quote *quote, int row)
{
	const QuoteLine *quoted = &quote->lines[row];

	if (quoted->product->has_own_fee)
		return quoted->rest;
	for (int i = 0; i < row; i++)
		if (!quote->lines[i].product->has_own_fee && quote->lines[i].line.seller_id == quoted->line.seller_id)
			return true;
	return false;
}

/* Gives each row its shipping fee, and answers their sum. */
static int64
charge_shipping(Quote *quote)
{
	int64		total = 0;

	for (int i = 0; i < quote->nlines; i++)
	{
		Line	   *line = &quote->lines[i].line;
		const Product *product = quote->lines[i].product;

		if (product->shipping_fee == 0 || fee_stands_before(quote, i))
			continue;
		if (!product->has_own_fee && product->free_shipping_from > 0 &&
			goods_under_policy(quote, line->seller_id) >= product->free_shipping_from)
			continue;
		line->shipping_fee = product->shipping_fee;
		total = checked_add(total, line->shipping_fee);
	}
	return total;
}

/* Finds the coupon of the order, and that of its shipping; there is at most one of each. */
static void
find_order_coupons(Quote *quote, Coupon **order_coupon, Coupon **shipping_coupon)
{
	*order_coupon = *shipping_coupon = NULL;
	for (int i = 0; i < quote->ncoupons; i++)
	{
		Coupon	   *coupon = &quote->coupons[i];
		Coupon	  **place = coupon->kind == COUPON_KIND_FREE_SHIPPING ? shipping_coupon : order_coupon;

		if (coupon->scope == COUPON_SCOPE_PRODUCT)
			continue;
		if (*place != NULL)
			raise_error(ERROR_COUPON_NOT_USABLE, D_INT("coupon_issue_id", coupon->issue_id),
						D_REASON(REASON_NOT_TOGETHER));
		*place = coupon;
	}
}

static void
price_goods(Quote *quote)
{
	Totals	   *totals = &quote->totals;

	for (int i = 0; i < quote->nlines; i++)
	{
		const Line *line = &quote->lines[i].line;

		price_row(&quote->lines[i]);
		totals->items_total = checked_add(totals->items_total, checked_multiply(line->unit_price, line->quantity));
		totals->item_discount_total += line->unit_discount * line->quantity;
	}
	for (int i = 0; i < quote->nlines; i++)
		if (quote->lines[i].coupon)
			require_minimum(&quote->lines[i],
							i + 1 < quote->nlines && quote->lines[i + 1].rest ? &quote->lines[i + 1] : NULL);
}

void
pricing_compute(Quote *quote)
{
	Totals	   *totals = &quote->totals;
	Coupon	   *order_coupon;
	Coupon	   *shipping_coupon;
	int64		shipping;

	price_goods(quote);
	find_order_coupons(quote, &order_coupon, &shipping_coupon);
	if (order_coupon)
		apply_order_coupon(quote, order_coupon);
	shipping = charge_shipping(quote);
	if (shipping_coupon)
		apply_order_coupon(quote, shipping_coupon);

	for (int i = 0; i < quote->ncoupons; i++)
		if (quote->coupons[i].discount == 0)
			raise_error(ERROR_COUPON_CONDITION_NOT_MET, D_INT("coupon_issue_id", quote->coupons[i].issue_id),
						D_REASON(REASON_NO_DISCOUNT));

	totals->shipping_total = shipping - totals->shipping_discount;
	totals->payment_amount = checked_add(totals->items_total - totals->item_discount_total - totals->order_discount,
										 totals->shipping_total);
	if (totals->payment_amount > MAX_PAYMENT)
		raise_invalid("items", "come to a total that is out of range");
	for (int i = 0; i < quote->nlines; i++)
		if (quote->lines[i].line.tax_exempt)
			totals->tax_free_amount += quote->lines[i].line.line_total - quote->lines[i].line.order_discount_share;
}
