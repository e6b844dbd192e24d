/*
 * version.c
 *		Which versions of the extension's SQL objects this library works with.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "base/version.h"

/* Its own (of the control file, by way of the Makefile), and earlier ones as they follow. */
static const char *const known_versions[] = { FEATUL_VERSION };

static bool
is_known(const char *version)
{
	for (int i = 0; i < lengthof(known_versions); i++)
		if (strcmp(version, known_versions[i]) == 0)
			return true;
	return false;
}

/* pg_extension.extversion in the current context; NULL without the extension. */
static char *
installed_version(void)
{
	Relation	relation = table_open(ExtensionRelationId, AccessShareLock);
	char	   *version = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("featul_integrations"));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool  is_null;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion,
								   RelationGetDescr(relation), &is_null);

		version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return version;
}

/* See version.h. */
void
version_check(void)
{
	char *version = installed_version();

	if (version && !is_known(version))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(
				 "the library of featul_integrations does not know version %s of its SQL objects",
				 version),
			 errdetail("The library that runs is version %s.", FEATUL_VERSION),
			 errhint(
				 "Install the packages of the newer version and restart the server, then ALTER EXTENSION featul_integrations UPDATE.")));
}
