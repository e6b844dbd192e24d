/*
 * owner.c
 *		Acting as the extension's owner.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "binding.h"
#include "owner.h"

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
