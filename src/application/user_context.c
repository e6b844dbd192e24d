/*
 * user_context.c
 *		Acting as the extension's owner.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/guc.h"
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

/* See owner.h. */
void
owner_begin(OwnerState *state, Oid function)
{
	Oid owner = function_owner(function);

	GetUserIdAndSecContext(&state->user, &state->security_context);
	SetUserIdAndSecContext(owner, state->security_context | SECURITY_LOCAL_USERID_CHANGE);
}

/* See owner.h. */
Oid
owner_of_table(Oid relation)
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

/* See owner.h. */
void
owner_table_begin(OwnerState *state, Oid relation)
{
	Oid owner = owner_of_table(relation);

	if (!OidIsValid(owner))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relation)));
	GetUserIdAndSecContext(&state->user, &state->security_context);
	SetUserIdAndSecContext(owner, state->security_context | SECURITY_LOCAL_USERID_CHANGE |
									  SECURITY_RESTRICTED_OPERATION |
									  SECURITY_NOFORCE_RLS);
}

/* See owner.h. */
void
owner_bound_begin(OwnerState *state, Source source)
{
	BoundRelation *bound = binding_of(source, binding_relid(source));

	if (bound == NULL || !bound->foreign_functions)
		owner_table_begin(state, binding_relid(source));
	else
		GetUserIdAndSecContext(&state->user, &state->security_context);
}

/* See owner.h. */
void
owner_end(const OwnerState *state)
{
	SetUserIdAndSecContext(state->user, state->security_context);
}

/* See owner.h. */
void
owner_query_begin(OwnerQuery *query)
{
	query->memory = CurrentMemoryContext;
	SPI_connect();
	query->guc_nest = binding_safe_search_path();
}

/* See owner.h. */
void
owner_query_end(const OwnerQuery *query)
{
	AtEOXact_GUC(true, query->guc_nest);
	SPI_finish();
}

/* See owner.h. */
SPIPlanPtr
owner_prepare(SPIPlanPtr *plan, const char *sql, int n_arguments, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr prepared =
			SPI_prepare_cursor(sql, n_arguments, types, CURSOR_OPT_GENERIC_PLAN);

		if (prepared == NULL)
			elog(ERROR, "SPI_prepare_cursor failed: %s",
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		*plan = prepared;
	}
	return *plan;
}
