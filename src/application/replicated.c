/*
 * replicated.c
 *		The application's tables on a delivery node.
 *
 * Which tables a subscription writes to, and how far their first copy has come, is
 * read from pg_subscription_rel.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_subscription_rel.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "replication/worker_internal.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "application/replicated.h"
#include "base/compat.h"
#include "base/own_query.h"
#include "base/text.h"

/* Looks at a table of an enabled or disabled subscription; true ends the search. */
typedef bool (*Finding)(const FormData_pg_subscription_rel *table, Source source);

/* See replicated.h. */
bool
replicated_by_worker(void)
{
	return MyLogicalRepWorker != NULL;
}

/* ------------------------------------------------------------------------
 * The tables of subscriptions
 * ------------------------------------------------------------------------ */

/* True if the finding is, of some table of a subscription. */
static bool
some_table(Finding finding, Source source)
{
	Relation	tables = table_open(SubscriptionRelRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(tables, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = finding((Form_pg_subscription_rel) GETSTRUCT(tuple), source);
	systable_endscan(scan);
	table_close(tables, AccessShareLock);
	return found;
}

/* Does a source's table get rows when this one does, as itself, its partition or its root? */
static bool
feeds(Oid relid, Source source)
{
	Oid bound = binding_relid(source);

	if (!OidIsValid(bound))
		return false;
	return relid == bound ||
		   list_member_oid(find_all_inheritors(bound, NoLock, NULL), relid) ||
		   list_member_oid(find_all_inheritors(relid, NoLock, NULL), bound);
}

/* Finding: any table. */
static bool
is_any(const FormData_pg_subscription_rel *table, Source unused)
{
	return true;
}

/* Finding: a table that feeds the source. */
static bool
feeds_source(const FormData_pg_subscription_rel *table, Source source)
{
	return feeds(table->srrelid, source);
}

/* See replicated.h. */
bool
replicated_source(Source source)
{
	return some_table(feeds_source, source);
}

static bool
subscription_is_enabled(Oid subscription)
{
	HeapTuple tuple = SearchSysCache1(SUBSCRIPTIONOID, ObjectIdGetDatum(subscription));
	bool	  enabled = false;

	if (HeapTupleIsValid(tuple))
	{
		enabled = ((Form_pg_subscription) GETSTRUCT(tuple))->subenabled;
		ReleaseSysCache(tuple);
	}
	return enabled;
}

/* Finding: a table that feeds any source, and whose copy an enabled subscription has yet to end. */
static bool
is_being_copied(const FormData_pg_subscription_rel *table, Source unused)
{
	if (table->srsubstate == SUBREL_STATE_READY ||
		!subscription_is_enabled(table->srsubid))
		return false;
	for (Source source = 0; source < SOURCE_COUNT; source++)
		if (feeds(table->srrelid, source))
			return true;
	return false;
}

/* ------------------------------------------------------------------------
 * Whether all of them are copied, remembered
 * ------------------------------------------------------------------------ */

static bool ready_known = false;

/* Invalidation callback: a subscription or one of its tables has changed. */
static void
forget_ready(Datum unused, int cache, uint32 hash)
{
	ready_known = false;
}

/* True if no bound table is being copied. */
static bool
all_ready(void)
{
	static bool	  registered = false;
	static bool	  ready;
	static uint64 epoch;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(SUBSCRIPTIONRELMAP, forget_ready, (Datum) 0);
		CacheRegisterSyscacheCallback(SUBSCRIPTIONOID, forget_ready, (Datum) 0);
		registered = true;
	}
	if (epoch != binding_epoch())
		ready_known = false;
	if (!ready_known)
	{
		epoch = binding_epoch();
		ready_known = true; /* unless an invalidation comes meanwhile */
		ready = !some_table(is_being_copied, SOURCE_COUNT);
	}
	return ready;
}

/* See replicated.h. */
bool
replicated_announced(void)
{
	return !am_tablesync_worker() && all_ready();
}

/* See replicated.h. */
bool
replicated_completely(Oid relid)
{
	Relation	tables = table_open(SubscriptionRelRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(tables, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		is_node = false;
	bool		is_copied = false;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_subscription_rel table = (Form_pg_subscription_rel) GETSTRUCT(tuple);
		XLogRecPtr				 copied_at;

		is_node = true;
		if (table->srrelid == relid && subscription_is_enabled(table->srsubid))
			is_copied = GetSubscriptionRelState(table->srsubid, relid, &copied_at) ==
							SUBREL_STATE_READY &&
						!XLogRecPtrIsInvalid(copied_at);
	}
	systable_endscan(scan);
	table_close(tables, AccessShareLock);
	return !is_node || is_copied;
}

/* ------------------------------------------------------------------------
 * For integration_attach(), and for who sets a node up
 * ------------------------------------------------------------------------ */

/* See replicated.h. */
void
replicated_warn(void)
{
	if (!some_table(is_any, SOURCE_COUNT))
		return; /* no node */
	own_query_execute("SELECT relation, problem, remedy"
					  " FROM featul_integrations.replication_problems()",
					  SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;

		ereport(WARNING, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						  errmsg("table %s %s", SPI_getvalue(row, desc, 1),
								 SPI_getvalue(row, desc, 2)),
						  errhint("%s", SPI_getvalue(row, desc, 3))));
	}
}

/* The source's table: the one that is bound, else featul's own in this schema; or InvalidOid. */
static Oid
published_table(Source source, Oid namespace, bool bound)
{
	Oid relid = InvalidOid;

	if (bound)
		return binding_relid(source);
	for (const char *const *name = source_definitions[source].tables;
		 !OidIsValid(relid) && *name; name++)
		relid = get_relname_relid(*name, namespace);
	return relid;
}

/* Appends a table to the list, if there is one. */
static void
append_table(StringInfo list, Oid relid)
{
	if (!OidIsValid(relid))
		return;
	text_append_item(
		list, quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
										 get_rel_name(relid)));
}

FEATUL_FUNCTION(featul_publication);

/* featul_integrations.publication(app_schema text) */
Datum
featul_publication(PG_FUNCTION_ARGS)
{
	bool  bound = PG_ARGISNULL(0) && binding_attached();
	char *schema = PG_ARGISNULL(0) ? "public" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid namespace;
	StringInfoData list;

	if (bound)
		schema = get_namespace_name(get_rel_namespace(binding_relid(SOURCE_WORKSPACE)));
	namespace = get_namespace_oid(schema, false);
	initStringInfo(&list);
	for (Source source = 0; source < SOURCE_COUNT; source++)
		append_table(&list, published_table(source, namespace, bound));
	append_table(&list, get_relname_relid("workspace_integration", namespace));
	if (list.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("schema \"%s\" has none of the application's tables", schema),
				 errhint("Name the schema, or run integration_attach() with bindings.")));
	PG_RETURN_TEXT_P(
		cstring_to_text(psprintf("CREATE PUBLICATION featul_integrations FOR TABLE %s"
								 " WITH (publish_via_partition_root = true)",
								 list.data)));
}
