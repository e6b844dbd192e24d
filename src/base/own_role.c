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
#include "utils/inval.h"
#include "utils/syscache.h"

#include "base/own_role.h"

/* Looks up the owner of the extension's schema. */
static Oid
find_role(void)
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

/* Is the role in own_role() the owner still? */
static bool is_known = false;

/* Some schema has changed. */
static void
forget_role(Datum argument, int cache, uint32 hash)
{
	is_known = false;
}

/* See own_role.h.  Asked for with every row that is captured, and kept therefore. */
Oid
own_role(void)
{
	static bool registered = false;
	static Oid	role = InvalidOid;

	if (!registered)
		CacheRegisterSyscacheCallback(NAMESPACENAME, forget_role, (Datum) 0);
	registered = true;
	if (!is_known || !OidIsValid(role))
	{
		is_known = true; /* until a change arrives, be it while the role is looked up */
		role = InvalidOid;
		role = find_role();
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
