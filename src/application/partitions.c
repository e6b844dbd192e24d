/*
 * partitions.c
 *		What stands below a bound table, and whose it is.
 *
 * PostgreSQL gives the row triggers of a partitioned table to each partition that is added, in
 * the name of whoever adds it, who has to have EXECUTE on our function then; else the
 * application could make no partition any more.  The function does nothing for tables that are
 * not bound, and nobody else can name it, for want of rights on our schema.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "application/partitions.h"
#include "application/user_context.h"
#include "base/own_query.h"

/* See partitions.h. */
char *
partitions_foreign(Oid relid)
{
	ListCell *cell;

	foreach (cell, find_all_inheritors(relid, AccessShareLock, NULL))
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			return quote_qualified_identifier(
				get_namespace_name(get_rel_namespace(lfirst_oid(cell))),
				get_rel_name(lfirst_oid(cell)));
	return NULL;
}

/* Those who own a partitioned table among these and what is below them, but for superusers. */
static List *
owners_of_partitioned(const List *relids)
{
	List	 *owners = NIL;
	ListCell *root;
	ListCell *cell;

	foreach (root, relids)
		foreach (cell, find_all_inheritors(lfirst_oid(root), AccessShareLock, NULL))
		{
			Oid owner = table_owner(lfirst_oid(cell));

			if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_PARTITIONED_TABLE &&
				!superuser_arg(owner))
				owners = list_append_unique_oid(owners, owner);
		}
	return owners;
}

/* Those who may execute the row trigger function, but for its owner and the extension's. */
static List *
present_owners(MemoryContext memory)
{
	List *owners = NIL;

	own_query_execute(
		"SELECT a.grantee FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) a"
		" WHERE p.oid = CAST('featul_integrations.capture_row()' AS pg_catalog.regprocedure)"
		" AND a.grantee NOT IN (p.proowner, (SELECT e.extowner FROM pg_catalog.pg_extension e"
		" WHERE e.extname = 'featul_integrations'))",
		SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		  isnull;
		MemoryContext caller = MemoryContextSwitchTo(memory);

		owners = lappend_oid(
			owners, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
												   SPI_tuptable->tupdesc, 1, &isnull)));
		MemoryContextSwitchTo(caller);
	}
	return owners;
}

/* Runs GRANT or REVOKE, with that word before the role, for those who are not among others. */
static void
change_rights(const char *verb, const char *preposition, const List *roles,
			  const List *others)
{
	ListCell *cell;

	foreach (cell, roles)
		if (!list_member_oid(others, lfirst_oid(cell)))
			own_query_execute(
				psprintf("%s EXECUTE ON FUNCTION featul_integrations.capture_row() %s %s",
						 verb, preposition,
						 quote_identifier(GetUserNameFromId(lfirst_oid(cell), false))),
				SPI_OK_UTILITY);
}

/* See partitions.h. */
void
partitions_open(const List *relids)
{
	List	   *wanted = owners_of_partitioned(relids);
	List	   *present = present_owners(CurrentMemoryContext);
	UserContext caller;

	user_context_as_extension(&caller);
	change_rights("REVOKE", "FROM", present, wanted);
	change_rights("GRANT", "TO", wanted, present);
	user_context_restore(&caller);
}
