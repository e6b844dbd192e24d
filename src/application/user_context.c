/*
 * user_context.c
 *		Acting as another role.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/syscache.h"

#include "application/user_context.h"
#include "base/own_role.h"
#include "base/safe_settings.h"

/* Becomes a role until user_context_restore(). */
static void
become(UserContext *state, Oid role, int security_context)
{
	state->settings = 0;
	GetUserIdAndSecContext(&state->user, &state->security_context);
	SetUserIdAndSecContext(role, state->security_context | SECURITY_LOCAL_USERID_CHANGE |
									 security_context);
}

/* See user_context.h. */
void
user_context_as_extension(UserContext *state)
{
	Oid role = own_role();

	if (!OidIsValid(role))
		elog(ERROR, "the schema featul_integrations does not exist");
	become(state, role, 0);
}

/* See user_context.h. */
Oid
table_owner(Oid relation)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid		  owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/* See user_context.h. */
void
user_context_as_table_owner(UserContext *state, Oid relation)
{
	Oid owner = table_owner(relation);

	if (!OidIsValid(owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relation)));
	become(state, owner, SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
}

/* See user_context.h. */
void
user_context_restore(const UserContext *state)
{
	if (state->settings > 0)
		safe_settings_end(state->settings);
	SetUserIdAndSecContext(state->user, state->security_context);
}
