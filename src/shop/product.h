/*
 * product.h
 *	  Products as orders need them.
 */
#ifndef COMMERCE_PRODUCT_H
#define COMMERCE_PRODUCT_H

#include "shop/pricing.h"

/*
 * Reads n products by ascending, distinct ids, with what is off their price now.  Raises
 * ENTITY_NOT_FOUND.
 */
extern Product *product_read(const int64 *ids, int n);

#endif
