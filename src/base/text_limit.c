/*
 * text_limit.c
 *	  How large what a request holds may be: of a text, as many characters as the name of the argument tells.
 *
 * The bytes are tested first: a text that is too long in any encoding is neither read nor unpacked.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "base/error.h"
#include "base/text_limit.h"

#define OTHER_TEXTS		1000	/* characters */
#define MAX_METADATA	16384	/* bytes */
#define MAX_ELEMENTS	1000	/* of an array of texts */

PG_FUNCTION_INFO_V1(commerce_check_metadata);
PG_FUNCTION_INFO_V1(commerce_check_text);
PG_FUNCTION_INFO_V1(commerce_check_texts);

static const struct
{
	const char *argument;
	int			most;			/* characters */
}			limits[] = {
	{"address", 2000},
	{"business_name", 200},
	{"carrier", 200},
	{"category", 200},
	{"cs_phone", 200},
	{"description", 20000},
	{"email", 254},
	{"external_id", 200},
	{"idempotency_key", 255},
	{"image_urls", 2000},
	{"memo", 2000},
	{"name", 200},
	{"note", 2000},
	{"payment_channel", 200},
	{"phone", 200},
	{"provider_event_id", 200},
	{"registration_number", 200},
	{"sku", 200},
	{"tracking_number", 200},
	{"url", 2000},
};

static int
limit_of(const char *argument)
{
	const char *member = strrchr(argument, '.');

	/* delivery.name is a name */
	if (member)
		argument = member + 1;
	for (int i = 0; i < (int) lengthof(limits); i++)
		if (strcmp(limits[i].argument, argument) == 0)
			return limits[i].most;
	return OTHER_TEXTS;
}

void
text_check(const char *argument, Datum value)
{
	int			most = limit_of(argument);
	Size		bytes = toast_raw_datum_size(value) - VARHDRSZ;

	if (bytes <= (Size) most)
		return;
	if (bytes <= (Size) most * pg_database_encoding_max_length())
	{
		text	   *unpacked = DatumGetTextPP(value);

		if (pg_mbstrlen_with_len(VARDATA_ANY(unpacked), VARSIZE_ANY_EXHDR(unpacked)) <= most)
			return;
	}
	raise_invalid(argument, "must have at most %d characters", most);
}

void
metadata_check(Datum value)
{
	/* the size is told by the header, so that what is too large is not unpacked */
	if (toast_raw_datum_size(value) - VARHDRSZ > MAX_METADATA)
		raise_invalid("metadata", "must have at most %d bytes", MAX_METADATA);
	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(value)))
		raise_invalid("metadata", "must be a JSON object");
}

/*
 * check_text(argument text, value text)
 *
 * For functions in SQL.
 */
Datum
commerce_check_text(PG_FUNCTION_ARGS)
{
	text_check(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_DATUM(1));
	PG_RETURN_VOID();
}

/*
 * check_texts(argument text, elements text[])
 */
Datum
commerce_check_texts(PG_FUNCTION_ARGS)
{
	const char *argument = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) > MAX_ELEMENTS)
		raise_invalid(argument, "must have at most %d elements", MAX_ELEMENTS);
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			text_check(argument, elements[i]);
	PG_RETURN_VOID();
}

/*
 * check_metadata(metadata jsonb)
 */
Datum
commerce_check_metadata(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0))
		metadata_check(PG_GETARG_DATUM(0));
	PG_RETURN_VOID();
}
