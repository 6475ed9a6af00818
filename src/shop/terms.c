/*
 * terms.c
 *	  What a call says of the order that it places, besides lines and coupons: how it is paid, whom it is
 *	  delivered to, and the shop's own metadata.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/text_limit.h"
#include "shop/terms.h"

/* A member of delivery: a text, or null for the user's own. */
static char *
delivery_text(const char *name, const JsonbValue *value)
{
	char	   *argument = psprintf("delivery.%s", name);
	text	   *given;

	if (value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		raise_invalid(argument, "must be a string");
	given = cstring_to_text_with_len(value->val.string.val, value->val.string.len);
	text_check(argument, PointerGetDatum(given));
	return text_to_cstring(given);
}

void
terms_read_delivery(Recipient *delivery, Jsonb *object)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(object))
		raise_invalid("delivery", "must be an object {\"name\", \"phone\", \"address\", \"memo\"}");
	iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		struct
		{
			const char *name;
			char	  **text;
		}			members[] = {
			{"name", &delivery->name}, {"phone", &delivery->phone},
			{"address", &delivery->address}, {"memo", &delivery->memo}
		};
		bool		known = false;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		for (int i = 0; i < (int) lengthof(members) && !known; i++)
		{
			known = key.val.string.len == (int) strlen(members[i].name) &&
				memcmp(key.val.string.val, members[i].name, key.val.string.len) == 0;
			if (known)
				*members[i].text = delivery_text(members[i].name, &value);
		}
		if (!known)
			raise_invalid(psprintf("delivery.%s", pnstrdup(key.val.string.val,
														   pg_mbcliplen(key.val.string.val, key.val.string.len, 64))),
						  "is not known");
	}
}

/* What only an order that is paid outside can have. */
static void
require_external(const Terms *terms)
{
	if (terms->method == PAYMENT_METHOD_EXTERNAL)
		return;
	if (terms->balance_part != 0)
		raise_invalid("balance_part", "must be 0 for an order that is paid from the balance");
	if (terms->channel)
		raise_invalid("payment_channel", "must be null for an order that is paid from the balance");
	if (terms->pay_within)
		raise_invalid("pay_within", "must be null for an order that is paid from the balance");
}

Terms
terms_get(FunctionCallInfo fcinfo, int first)
{
	Terms		terms = {0};
	Jsonb	   *delivery;

	terms.method = arg_label(fcinfo, first, "payment_method", TYPE_PAYMENT_METHOD);
	delivery = arg_jsonb_or_null(fcinfo, first + 1);
	if (delivery)
		terms_read_delivery(&terms.delivery, delivery);
	terms.metadata = arg_metadata(fcinfo, first + 2);
	if (!PG_ARGISNULL(first + 3))
		terms.pay_within = PG_GETARG_INTERVAL_P(first + 3);
	terms.balance_part = arg_int64(fcinfo, first + 4, "balance_part");
	if (terms.balance_part < 0)
		raise_invalid("balance_part", "must be 0 or more");
	terms.channel = arg_text_or_null(fcinfo, first + 5, "payment_channel");
	require_external(&terms);
	return terms;
}

/* A text that may be missing, told apart from one that is empty. */
static void
append_text(StringInfo buf, const char *text)
{
	if (text)
		appendStringInfo(buf, " %zu:%s", strlen(text), text);
	else
		appendStringInfoString(buf, " -");
}

char *
terms_canonical(const Terms *terms)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, catalog_label_name(TYPE_PAYMENT_METHOD, terms->method));
	append_text(&buf, terms->delivery.name);
	append_text(&buf, terms->delivery.phone);
	append_text(&buf, terms->delivery.address);
	append_text(&buf, terms->delivery.memo);
	append_text(&buf, terms->metadata ? JsonbToCString(NULL, &terms->metadata->root, VARSIZE(terms->metadata)) : NULL);
	append_text(&buf, terms->pay_within ?
				DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(terms->pay_within))) : NULL);
	appendStringInfo(&buf, " " INT64_FORMAT, terms->balance_part);
	append_text(&buf, terms->channel ? text_to_cstring(terms->channel) : NULL);
	return buf.data;
}
