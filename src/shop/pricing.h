/*
 * pricing.h
 *	  What an order costs.
 */
#ifndef COMMERCE_PRICING_H
#define COMMERCE_PRICING_H

#include "storage/itemptr.h"

#include "base/schema.h"

/* A product as an order needs it.  Amounts are in the smallest unit of the currency; id 0 means none. */
typedef struct Product
{
	int64		id;
	int64		seller_id;
	char	   *name;
	int64		price;
	int64		reduction;		/* per unit: the larger of instant discount and running promotions */
	bool		has_own_fee;	/* else the seller's policy is in force, or the shop's */
	int64		shipping_fee;	/* per line, or the policy's: once per order */
	int64		free_shipping_from; /* the policy's: amount of goods that is sent free; 0: none is */
	int64		max_per_order;	/* 0: no limit */
	int64		max_per_user;	/* 0: no limit */
	bool		tax_exempt;
	bool		on_sale;
	bool		seller_active;	/* true where there is no seller */
	int64		demand;			/* units in the whole order */
	int			index;			/* of the first line that asks for it, in the request or sheet, from 0 */
} Product;

/* A coupon that the buyer holds and wants to use. */
typedef struct Coupon
{
	int64		issue_id;
	ItemPointerData tid;		/* of its row, as it was read or locked */
	CouponKind	kind;
	CouponScope scope;
	int64		value;			/* an amount, or percent */
	int64		max_discount;	/* 0: no cap */
	int64		round_unit;
	int64		min_order_amount;
	int64		max_units;		/* of its line; 0: all */
	int64		seller_id;
	int64		product_id;
	bool		chosen;			/* a place in the order has been found for it */
	int64		discount;		/* out: what it takes off in all */
} Coupon;

/* A line of an order, of a sheet or of a quote, and what it costs; id 0 means none. */
typedef struct Line
{
	int			number;			/* of the ordered line, from 1, whose rows share it */
	int64		product_id;
	int64		seller_id;
	const char *product_name;
	int64		quantity;
	int64		coupon_issue_id;
	int64		unit_price;
	int64		unit_discount;
	int64		unit_final;
	int64		line_total;
	int64		order_discount_share;
	int64		shipping_fee;
	int64		shipping_discount;
	bool		own_shipping;	/* has a fee of its own, not its seller's policy */
	bool		tax_exempt;
	int64		user_limit;		/* max_per_user when it was ordered; 0: none */
} Line;

/* What an order, a sheet or a quote costs in all. */
typedef struct Totals
{
	int64		items_total;
	int64		item_discount_total;
	int64		order_discount;
	int64		shipping_discount;
	int64		shipping_total;
	int64		payment_amount;
	int64		tax_free_amount;	/* what of it, without shipping, is for tax-exempt lines */
} Totals;

/* A line while it is priced. */
typedef struct QuoteLine
{
	Line		line;
	const Product *product;
	Coupon	   *coupon;			/* the product coupon of this row */
	bool		rest;			/* the units of a line that its coupon does not cover: the row before is the line's first */
} QuoteLine;

typedef struct Quote
{
	int			nlines;
	QuoteLine  *lines;
	int			nproducts;
	Product    *products;		/* by ascending id, each once */
	int			ncoupons;
	Coupon	   *coupons;		/* by ascending issue id, each once: the lines' and the order's */
	Totals		totals;
} Quote;

/*
 * Prices a quote whose lines, products and coupons are filled in.  Raises COUPON_NOT_USABLE,
 * COUPON_CONDITION_NOT_MET, and INVALID_REQUEST for sums out of range.
 */
extern void pricing_compute(Quote *quote);

/* The larger part of value that percent (1-100) is: floor(value × percent / 100), without overflow. */
extern int64 pricing_percent_of(int64 value, int64 percent);

/* floor(total × part / whole), in 128 bits; part <= whole. */
extern int64 pricing_share_of(int64 total, int64 part, int64 whole);

#endif
