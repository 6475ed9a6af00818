/*
 * quote.h
 *	  From a request's arguments to a priced quote.
 */
#ifndef COMMERCE_QUOTE_H
#define COMMERCE_QUOTE_H

#include "utils/array.h"
#include "utils/jsonb.h"

#include "shop/pricing.h"

typedef struct RequestLine
{
	int64		product_id;
	int64		quantity;
	int64		coupon_issue_id;	/* 0: none */
	int			position;		/* in the request */
} RequestLine;

/* What a buyer asks for: checked for its form, lines of the same product and coupon added up. */
typedef struct QuoteRequest
{
	int			nlines;
	RequestLine *lines;			/* in the order of the request */
	int			nproducts;
	int64	   *product_ids;	/* ascending, distinct */
	int64	   *units;			/* asked of each product */
	int			ncoupons;
	int64	   *coupon_issue_ids;	/* ascending, distinct: the lines' and the order's */
	int			norder_coupons;
	int64	   *order_coupon_ids;	/* ascending, distinct: the order's alone */
} QuoteRequest;

/*
 * Reads items ([{"product_id":1,"quantity":2,"coupon_issue_id":7}]) and coupon_issue_ids (either may be
 * NULL for missing).  Raises INVALID_REQUEST, and COUPON_NOT_USABLE for a coupon named twice.
 */
extern QuoteRequest *quote_parse(Jsonb *items, ArrayType *coupon_issue_ids);

/* The canonical form of a request, the same for all that ask for the same. */
extern char *quote_canonical(const QuoteRequest *request);

/* Where in product_ids a product is; -1: the request does not name it. */
extern int	quote_product_index(const QuoteRequest *request, int64 product_id);

/*
 * Reads what the request names and prices it for an active user.  With lock the coupons stay usable by this
 * transaction alone, and the user's row is locked where a product has a limit per user.  Raises ENTITY_NOT_FOUND, PRODUCT_NOT_ON_SALE,
 * PURCHASE_LIMIT_EXCEEDED, COUPON_NOT_USABLE, COUPON_CONDITION_NOT_MET, INVALID_REQUEST.
 */
extern Quote *quote_make(int64 user_id, const QuoteRequest *request, bool lock);

#endif
