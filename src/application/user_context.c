/*
 * user_context.c
 *		Acting as another role.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/syscache.h"

#include "application/binding.h"
#include "application/user_context.h"

/* The function's owner. */
static Oid
function_owner(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid		  owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* See user_context.h. */
void
user_context_as_extension(UserContext *state, Oid function)
{
	Oid owner = function_owner(function);

	GetUserIdAndSecContext(&state->user, &state->security_context);
	SetUserIdAndSecContext(owner, state->security_context | SECURITY_LOCAL_USERID_CHANGE);
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
	GetUserIdAndSecContext(&state->user, &state->security_context);
	SetUserIdAndSecContext(owner, state->security_context | SECURITY_LOCAL_USERID_CHANGE |
									  SECURITY_RESTRICTED_OPERATION |
									  SECURITY_NOFORCE_RLS);
}

/* See user_context.h. */
void
user_context_as_reader(UserContext *state, Source source)
{
	BoundRelation *bound = binding_of(source, binding_relid(source));

	if (bound == NULL || !bound->foreign_functions)
		user_context_as_table_owner(state, binding_relid(source));
	else
		GetUserIdAndSecContext(&state->user, &state->security_context);
}

/* See user_context.h. */
void
user_context_restore(const UserContext *state)
{
	SetUserIdAndSecContext(state->user, state->security_context);
}
