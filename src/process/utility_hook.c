/*
 * utility_hook.c
 *		Statements that create, drop or change a whole database or the extension.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME or SET TABLESPACE and CREATE DATABASE
 * ... TEMPLATE fail while anybody else is connected to the database.  Here they
 * first send its workers away, and let the launcher bring them back afterwards.
 * CREATE, ALTER and DROP EXTENSION tell the launcher and the workers at commit.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "process/slots.h"
#include "process/utility_hook.h"
#include "process/wakeup.h"

/* How long a worker may take to leave before it gets a SIGTERM, and in all (ms). */
#define POLITE_STOP_MS 2000
#define STOP_MS 5000
#define STOP_POLL_MS 10

static ProcessUtility_hook_type previous_ProcessUtility = NULL;
static object_access_hook_type	previous_object_access = NULL;

/* The database this transaction keeps workers away from. */
static Oid blocked_database = InvalidOid;

/* ------------------------------------------------------------------------
 * Databases
 * ------------------------------------------------------------------------ */

/* The string value of an option of a statement; NULL if it is not given. */
static const char *
option_value(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, name) == 0 && option->arg)
			return defGetString(option);
	}
	return NULL;
}

static bool
may_create_databases(void)
{
	HeapTuple tuple;
	bool	  may = superuser();

	if (may)
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return may;
}

static bool
is_template(Oid database)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool template = false;

	if (HeapTupleIsValid(tuple))
	{
		template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return template;
}

/*
 * The database that a statement needs for itself; InvalidOid if none, or if
 * the user may not run the statement anyway (no one else's workers stop for a
 * statement that is about to be refused).
 */
static Oid
database_needed(Node *statement)
{
	const char *name = NULL;
	bool		creates = false;
	Oid			database;

	if (IsA(statement, CreatedbStmt))
	{
		name = option_value(((CreatedbStmt *) statement)->options, "template");
		if (name == NULL)
			name = "template1";
		creates = true;
	}
	else if (IsA(statement, DropdbStmt))
		name = ((DropdbStmt *) statement)->dbname;
	else if (IsA(statement, RenameStmt) &&
			 ((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
		name = ((RenameStmt *) statement)->subname;
	else if (IsA(statement, AlterDatabaseStmt) &&
			 option_value(((AlterDatabaseStmt *) statement)->options, "tablespace"))
		name = ((AlterDatabaseStmt *) statement)->dbname;
	if (name == NULL)
		return InvalidOid;

	database = get_database_oid(name, true);
	if (!OidIsValid(database))
		return InvalidOid;
	if (creates ? may_create_databases() &&
					  (is_template(database) ||
					   compat_database_ownercheck(database, GetUserId()))
				: compat_database_ownercheck(database, GetUserId()))
		return database;
	return InvalidOid;
}

/* Transaction callback: ends the block of this transaction. */
static void
unblock_database(XactEvent event, void *argument)
{
	if (!OidIsValid(blocked_database) ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	slots_unblock_database(blocked_database);
	blocked_database = InvalidOid;
}

/*
 * Stops the workers of a database, waits until they are gone (a few seconds
 * at most) and keeps new ones away until this transaction ends: a database is
 * gone, renamed or copied only then.  Once per transaction.  May raise an error
 * while waiting (query cancel).
 */
static void
block_database(Oid database)
{
	static bool registered = false;
	bool		terminated = false;

	if (!registered)
		RegisterXactCallback(unblock_database, NULL);
	registered = true;
	Assert(!OidIsValid(blocked_database));
	if (!slots_block_database(database))
		return;
	blocked_database = database;
	for (int waited = 0; waited < STOP_MS; waited += STOP_POLL_MS)
	{
		bool terminate = waited >= POLITE_STOP_MS && !terminated;

		if (!slots_workers_present(database, terminate))
			break;
		terminated |= terminate;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 STOP_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* What comes after us in the chain of hooks. */
static void
run_statement(PlannedStmt *planned, const char *query, bool read_only,
			  ProcessUtilityContext context, ParamListInfo parameters,
			  QueryEnvironment *environment, DestReceiver *receiver,
			  QueryCompletion *completion)
{
	if (previous_ProcessUtility)
		previous_ProcessUtility(planned, query, read_only, context, parameters,
								environment, receiver, completion);
	else
		standard_ProcessUtility(planned, query, read_only, context, parameters,
								environment, receiver, completion);
}

/* ProcessUtility_hook */
static void
process_utility(PlannedStmt *planned, const char *query, bool read_only,
				ProcessUtilityContext context, ParamListInfo parameters,
				QueryEnvironment *environment, DestReceiver *receiver,
				QueryCompletion *completion)
{
	Node *statement = planned->utilityStmt;
	Oid	  database = InvalidOid;

	/* inside a transaction block these statements are refused anyway */
	if (context == PROCESS_UTILITY_TOPLEVEL && !IsTransactionBlock())
		database = database_needed(statement);
	if (OidIsValid(database))
		block_database(database);
	if (IsA(statement, AlterDatabaseStmt))
		wakeup_launcher_at_commit(); /* ALLOW_CONNECTIONS */

	run_statement(planned, query, read_only, context, parameters, environment, receiver,
				  completion);

	if (IsA(statement, TransactionStmt) &&
		((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED)
		wakeup_workers_now();
}

/* ------------------------------------------------------------------------
 * The extension
 * ------------------------------------------------------------------------ */

/* object_access_hook */
static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
			  void *argument)
{
	if (previous_object_access)
		previous_object_access(access, class_id, object_id, sub_id, argument);
	if (class_id != ExtensionRelationId)
		return;

	/* the new row is not visible yet: the launcher finds out which one it is */
	if (access == OAT_POST_CREATE)
		wakeup_launcher_at_commit();
	else if (access == OAT_DROP || access == OAT_POST_ALTER)
	{
		/* an update may be to a version that the workers' library does not know */
		char *name = get_extension_name(object_id);

		if (name && strcmp(name, "featul_integrations") == 0)
			wakeup_reload_at_commit();
	}
}

/* See utility_hook.h. */
void
utility_hook_init(void)
{
	previous_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
}
