/*
 * own_role.c
 *		The role that the extension acts as.
 *
 * A role without LOGIN cannot connect before PostgreSQL 17, nor one without CONNECT,
 * so that a worker connects as the bootstrap superuser and adopts the role at once.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "base/own_role.h"

/* See own_role.h. */
Oid
own_role(void)
{
	HeapTuple tuple =
		SearchSysCache1(NAMESPACENAME, CStringGetDatum("featul_integrations"));
	Oid role = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		role = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
		ReleaseSysCache(tuple);
	}
	return role;
}

/* See own_role.h. */
bool
own_role_adopt(void)
{
	Oid role;

	StartTransactionCommand();
	role = own_role();
	if (OidIsValid(role))
		SetConfigOption("session_authorization", GetUserNameFromId(role, false),
						PGC_SUSET, PGC_S_OVERRIDE);
	CommitTransactionCommand();
	return OidIsValid(role);
}
