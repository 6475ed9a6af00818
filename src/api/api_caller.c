/*
 * api_caller.c
 *	  Who makes a request over REST: the database role that PostgREST has chosen by the token, and the user that
 *	  the token's subject names.
 *
 * commerce.jwt_subject says how a subject names a user: by the user's id, or by the external_id; never by both, or
 * an external_id "42" would be user 42.
 *
 * Nothing is kept from one call to the next: whom a subject names, what that user is, and whether there is such a
 * role are each read by one look-up in an index, under the snapshot of the statement.  So a user whom another session has
 * made, changed or erased is seen by the next request of any session.  The functions for row security are called
 * with the rights of the caller, who may not read these tables, and tell about the caller alone.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "api/api_caller.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/request.h"
#include "base/row_reader.h"

PG_FUNCTION_INFO_V1(commerce_current_user_id);
PG_FUNCTION_INFO_V1(commerce_current_api_role);
PG_FUNCTION_INFO_V1(commerce_current_seller_id);
PG_FUNCTION_INFO_V1(commerce_current_admin);

/* A row of users. */
typedef struct Person
{
	int64		id;				/* 0: there is none */
	UserRole	role;
	UserStatus	status;
} Person;

/* The subject of the request's token, or NULL. */
static const char *
token_subject(void)
{
	return request_claim(commerce_jwt_user_claim);
}

/* A subject as a user's id; 0 when it cannot be one. */
static int64
subject_id(const char *subject)
{
	char	   *end;
	int64		id;

	if (!isdigit((unsigned char) subject[0]))
		return 0;
	errno = 0;
	id = strtoi64(subject, &end, 10);
	return errno == 0 && *end == '\0' ? id : 0;
}

/* Goes before the user whom a subject names; false when it names nobody. */
static bool
seek_person(RowReader *reader, const char *subject)
{
	int64		id;

	if (commerce_jwt_subject == JWT_SUBJECT_EXTERNAL_ID)
	{
		row_reader_open(reader, TABLE_USERS, INDEX_USERS_EXTERNAL_ID_KEY, 1);
		row_reader_seek_texts(reader, SQL_ARGS(CStringGetTextDatum(subject)));
		return true;
	}
	id = subject_id(subject);
	if (id < 1)
		return false;
	row_reader_open(reader, TABLE_USERS, INDEX_USERS_PKEY, 1);
	row_reader_seek(reader, &id);
	return true;
}

/* The user whom a subject (or NULL) names. */
static Person
find_person(const char *subject)
{
	Person		person = {0};
	RowReader	reader;

	if (subject == NULL || !seek_person(&reader, subject))
		return person;
	if (row_reader_next(&reader))
	{
		person.id = row_int64(&reader, USERS_ID);
		person.role = row_label(&reader, USERS_ROLE, TYPE_USER_ROLE);
		person.status = row_label(&reader, USERS_STATUS, TYPE_USER_STATUS);
	}
	row_reader_close(&reader);
	return person;
}

/* The business of a user; 0: none. */
static int64
find_seller(int64 user_id)
{
	RowReader	reader;
	int64		seller_id = 0;

	row_reader_open(&reader, TABLE_SELLERS, INDEX_SELLERS_USER_ID_KEY, 1);
	row_reader_seek(&reader, &user_id);
	if (row_reader_next(&reader))
		seller_id = row_int64(&reader, SELLERS_ID);
	row_reader_close(&reader);
	return seller_id;
}

/*
 * What the database role may do that SET ROLE chose: a definer function runs as its owner, and is called by that role all
 * the same.  False: grant_api() has not let it in.
 */
static bool
find_role(ApiRole *role)
{
	RowReader	reader;
	bool		found;

	row_reader_open(&reader, TABLE_API_ROLES, INDEX_API_ROLES_PKEY, 1);
	row_reader_seek_name(&reader, GetUserNameFromId(GetOuterUserId(), false));
	found = row_reader_next(&reader);
	if (found)
		*role = row_label(&reader, API_ROLES_API_ROLE, TYPE_API_ROLE);
	row_reader_close(&reader);
	return found;
}

/*
 * Whether a user is what a database role of sellers or administrators needs.  What a seller who is not active may do
 * is for each function to say.
 */
static bool
may_act_as(ApiRole role, const Person *person)
{
	if (role == API_ROLE_ADMIN)
		return person->role == USER_ROLE_ADMIN && person->status == USER_STATUS_ACTIVE;
	return person->role == USER_ROLE_SELLER;
}

/* The id of the caller, when the database role is this one and the user may act as it; else 0. */
static int64
caller_as(ApiRole wanted)
{
	ApiRole		role;
	Person		person;

	if (!find_role(&role) || role != wanted)
		return 0;
	person = find_person(token_subject());
	return may_act_as(wanted, &person) ? person.id : 0;
}

/*
 * current_user_id()
 *
 * The user that the request's token names, or NULL.  An id need not be looked up to be compared with.
 */
Datum
commerce_current_user_id(PG_FUNCTION_ARGS)
{
	const char *subject = token_subject();
	int64		user_id = 0;

	if (subject != NULL)
		user_id = commerce_jwt_subject == JWT_SUBJECT_ID ? subject_id(subject) : find_person(subject).id;
	if (user_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(user_id);
}

/*
 * current_api_role()
 *
 * What the calling database role may do over REST; NULL: nothing.
 */
Datum
commerce_current_api_role(PG_FUNCTION_ARGS)
{
	ApiRole		role;

	if (!find_role(&role))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(catalog_label(TYPE_API_ROLE, role));
}

/*
 * current_seller_id()
 *
 * The seller of a caller whose database role and user are both a seller's, active or not; else NULL.
 */
Datum
commerce_current_seller_id(PG_FUNCTION_ARGS)
{
	int64		user_id = caller_as(API_ROLE_SELLER);
	int64		seller_id = user_id == 0 ? 0 : find_seller(user_id);

	if (seller_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(seller_id);
}

/*
 * current_admin()
 *
 * Whether database role and active user are both an administrator's.
 */
Datum
commerce_current_admin(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(caller_as(API_ROLE_ADMIN) != 0);
}

/* Raises FORBIDDEN unless the user may act as the database role; with a buyer's token everybody buys. */
static void
require_role(ApiRole role, const Person *person)
{
	if (role == API_ROLE_BUYER || may_act_as(role, person))
		return;
	if (role == API_ROLE_ADMIN && person->role == USER_ROLE_ADMIN)
		raise_error(ERROR_FORBIDDEN, D_INT("user_id", person->id),
					D_TEXT("status", catalog_label_name(TYPE_USER_STATUS, person->status)), D_REASON(REASON_NOT_ACTIVE));
	raise_error(ERROR_FORBIDDEN, D_INT("user_id", person->id),
				D_TEXT("role", catalog_label_name(TYPE_USER_ROLE, person->role)),
				D_REASON(REASON_OTHER_ROLE));
}

ApiCaller
api_caller(const ApiEndpoint *endpoint)
{
	ApiCaller	caller = {API_ROLE_ANONYMOUS};
	Person		person;

	if (endpoint->roles[API_ROLE_ANONYMOUS])
		return caller;
	caller.subject = token_subject();
	if (!find_role(&caller.role) || caller.role == API_ROLE_ANONYMOUS || caller.subject == NULL)
		raise_error(ERROR_UNAUTHENTICATED, D_REASON(REASON_NO_TOKEN));
	person = find_person(caller.subject);
	if (person.id == 0 && !endpoint->for_newcomers)
		raise_error_hint(ERROR_UNAUTHENTICATED,
						 commerce_jwt_subject == JWT_SUBJECT_EXTERNAL_ID ? "A buyer's token can sign up: sign_up." : NULL,
						 D_REASON(REASON_NO_SUCH_USER));
	if (!endpoint->roles[caller.role])
		raise_error(ERROR_FORBIDDEN, D_TEXT("role", catalog_label_name(TYPE_API_ROLE, caller.role)),
					D_REASON(REASON_NOT_FOR_ROLE));
	if (endpoint->for_newcomers && commerce_jwt_subject != JWT_SUBJECT_EXTERNAL_ID)
		raise_error(ERROR_FORBIDDEN, D_REASON(REASON_NO_SIGN_UP));
	require_role(caller.role, &person);
	caller.user_id = person.id;
	if (caller.role == API_ROLE_SELLER)
	{
		caller.seller_id = find_seller(caller.user_id);
		if (caller.seller_id == 0)
			raise_error(ERROR_FORBIDDEN, D_INT("user_id", caller.user_id),
						D_REASON(REASON_NO_BUSINESS));
	}
	return caller;
}
