/*
 * import.c
 *		integration_import(): takes over featul's older integrations.
 *
 * For the extension's owner: no acting user, no role, no plan.  Each row is
 * judged as integration_connect() would; the table imported remembers what was
 * taken over, so that one that a user disconnected later does not come back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "api/access.h"
#include "api/api.h"
#include "api/filter.h"
#include "api/import.h"
#include "application/attach.h"
#include "application/binding.h"
#include "application/lookup.h"
#include "application/replicated.h"
#include "base/compat.h"
#include "application/user_context.h"
#include "api/query.h"
#include "base/errors.h"
#include "capture/workspace.h"

/* The trigger on the older table that is followed (follow.c) */
#define FOLLOW_TRIGGER "featul_integrations_follow"

/* workspace_integration or workspace_integrations of that schema; else 42P01. */
static Oid
find_old_table(const char *schema)
{
	static const char *const names[] = { "workspace_integration",
										 "workspace_integrations" };
	Oid namespace = get_namespace_oid(schema, false);

	for (int i = 0; i < lengthof(names); i++)
		if (OidIsValid(get_relname_relid(names[i], namespace)))
			return get_relname_relid(names[i], namespace);
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("schema \"%s\" has no table workspace_integration", schema)));
}

/* Does its workspace exist? */
static bool
has_workspace(const OldIntegration *old)
{
	StringInfoData	sql;
	QueryParameters parameters = { 0 };

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT FROM ");
	binding_append_rows(&sql, SOURCE_WORKSPACE, WORKSPACE_ID, "$1", "w");
	query_add_text(&parameters, old->workspace_id);
	return query_read_bound(&parameters, SOURCE_WORKSPACE, sql.data) > 0;
}

/* Reads all rows, in a stable order, as the table's owner. */
static List *
read_old_integrations(Oid table)
{
	StringInfoData	sql;
	QueryParameters parameters = { 0 };
	UserContext		state;
	List		   *rows = NIL;
	int64			count;

	initStringInfo(&sql);
	appendStringInfo(
		&sql,
		"SELECT o.workspace_id::text, o.type::text, o.webhook_url::text,"
		" o.is_active IS NOT FALSE FROM %s o ORDER BY 1, 2, o.is_active IS NOT FALSE DESC",
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
								   get_rel_name(table)));
	attach_require_select(table);
	user_context_as_table_owner(&state, table);
	count = query_read(&parameters, sql.data);
	user_context_restore(&state);
	for (int64 row = 0; row < count; row++)
	{
		OldIntegration *old = palloc(sizeof(OldIntegration));

		old->workspace_id = query_result(row, 1);
		old->type = query_result(row, 2);
		old->webhook_url = query_result(row, 3);
		old->is_active = query_result_bool(row, 4);
		rows = lappend(rows, old);
	}
	return rows;
}

/* Why the channel would not take this URL, palloc'd; NULL if it would. */
static char *
url_problem(const Channel *channel, const char *url)
{
	MemoryContext context = CurrentMemoryContext;
	char *volatile problem = NULL;

	/* no subtransaction: checking a URL touches nothing but memory */
	PG_TRY();
	{
		channel->check_url(url);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		if (geterrcode() != ERRCODE_FEATUL_BAD_ARGUMENT)
			PG_RE_THROW();
		problem = CopyErrorData()->message;
		FlushErrorState();
	}
	PG_END_TRY();
	return problem;
}

/* Whether it was taken over before. */
static bool
was_imported(const OldIntegration *old)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, old->workspace_id);
	query_add_text(&parameters, old->type);
	return query_write(&parameters, "SELECT FROM featul_integrations.imported"
									" WHERE workspace_id = $1 AND type = $2") > 0;
}

/* Remembers that it was taken over. */
static void
note_imported(const OldIntegration *old)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, old->workspace_id);
	query_add_text(&parameters, old->type);
	(void) query_write(&parameters,
					   "INSERT INTO featul_integrations.imported (workspace_id, type)"
					   " VALUES ($1, $2) ON CONFLICT DO NOTHING");
}

/* Why it cannot be connected; NULL if it can.  *channel is its kind. */
static char *
problem_of(const OldIntegration *old, const Channel **channel)
{
	if (old->workspace_id == NULL || old->type == NULL || old->webhook_url == NULL)
		return "A value is missing";
	*channel = channel_find(old->type);
	if (*channel == NULL)
		return psprintf("Unknown integration type; types are %s", channel_types());
	if (strlen(old->workspace_id) > WORKSPACE_ID_MAX_BYTES)
		return "The workspace's id is longer than 1024 bytes";
	if (!has_workspace(old))
		return "Workspace not found";
	return url_problem(*channel, old->webhook_url);
}

/* The statement's parameters $1 to $6. */
static void
add_integration(QueryParameters *parameters, const OldIntegration *old,
				const Channel *channel, ArrayType *events, const char *inactive_reason)
{
	query_add_text(parameters, old->workspace_id);
	query_add_text(parameters, old->type);
	query_add_text(parameters, old->webhook_url);
	query_add_text(parameters, channel->signs ? channel_new_secret() : NULL);
	query_add_text(parameters, old->is_active ? NULL : inactive_reason);
	query_add(parameters, TEXTARRAYOID, PointerGetDatum(events), events == NULL);
}

#define INSERT_INTEGRATION                                                               \
	"INSERT INTO featul_integrations.integration AS i"                                   \
	" (workspace_id, type, webhook_url, secret, is_active, inactive_reason, events)"     \
	" VALUES ($1, $2, $3, $4, $5 IS NULL, $5, $6) ON CONFLICT "

/* Connects it; false if the workspace has one of that type. */
static bool
insert_integration(const OldIntegration *old, const Channel *channel, ArrayType *events)
{
	QueryParameters parameters = { 0 };

	add_integration(&parameters, old, channel, events,
					"It was inactive when it was imported.");
	if (query_write(&parameters, INSERT_INTEGRATION "DO NOTHING RETURNING id") == 0)
		return false;
	api_claim_integration(query_result(0, 1));
	return true;
}

/* Connects it, or gives the one there its URL and state. */
static void
store_integration(const OldIntegration *old, const Channel *channel, ArrayType *events)
{
	QueryParameters parameters = { 0 };

	add_integration(&parameters, old, channel, events,
					"It is switched off in the application's table.");
	(void) query_write(
		&parameters, INSERT_INTEGRATION
		"(workspace_id, type) DO UPDATE SET webhook_url = excluded.webhook_url,"
		" is_active = excluded.is_active,"
		" inactive_reason = excluded.inactive_reason,"
		" updated_at = clock_timestamp() RETURNING id");
	api_claim_integration(query_result(0, 1));
	note_imported(old);
}

/* See import.h. */
char *
import_take_over(const OldIntegration *old, ArrayType *events, bool follow)
{
	const Channel *channel;
	char		  *problem = problem_of(old, &channel);

	if (problem)
		return problem;
	if (was_imported(old))
	{
		if (!follow)
			return "It was imported before";
		store_integration(old, channel, events);
		return NULL;
	}
	if (!insert_integration(old, channel, events))
		return "The workspace has an integration of this type";
	note_imported(old);
	return NULL;
}

/* See import.h. */
char *
import_update(const OldIntegration *old, ArrayType *events)
{
	const Channel *channel;
	char		  *problem = problem_of(old, &channel);

	if (problem == NULL)
		store_integration(old, channel, events);
	return problem;
}

/* See import.h. */
void
import_remove(const OldIntegration *old)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, old->workspace_id);
	query_add_text(&parameters, old->type);
	(void) query_write(&parameters, "DELETE FROM featul_integrations.integration"
									" WHERE workspace_id = $1 AND type = $2");
	(void) query_write(&parameters, "DELETE FROM featul_integrations.imported"
									" WHERE workspace_id = $1 AND type = $2");
}

/* The argument events, checked as integration_connect() does: NULL means all. */
static ArrayType *
events_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : filter_events(PG_GETARG_ARRAYTYPE_P(n));
}

/* The schema to look in: as given, else the one that workspaces are in. */
static char *
schema_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n)
			   ? get_namespace_name(get_rel_namespace(binding_relid(SOURCE_WORKSPACE)))
			   : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* One row of the result. */
static void
return_import(ReturnSetInfo *result, const OldIntegration *old, const char *problem)
{
	Datum values[4] = { old->workspace_id ? CStringGetTextDatum(old->workspace_id)
										  : (Datum) 0,
						old->type ? CStringGetTextDatum(old->type) : (Datum) 0,
						BoolGetDatum(problem == NULL),
						problem ? CStringGetTextDatum(problem) : (Datum) 0 };
	bool nulls[4] = { old->workspace_id == NULL, old->type == NULL, false,
					  problem == NULL };

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * From now on changes of this table are made here too; what is new there gets these
 * events (a text[]; NULL: all).  For the table's owner.  Inside query_begin().
 */
static void
follow_table(Oid table, ArrayType *events)
{
	char *relation = quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(table)), get_rel_name(table));
	Oid	  output;
	bool  is_varlena;
	char *argument = "";

	if (events)
	{
		getTypeOutputInfo(TEXTARRAYOID, &output, &is_varlena);
		argument =
			quote_literal_cstr(OidOutputFunctionCall(output, PointerGetDatum(events)));
	}
	own_query_execute(psprintf("CREATE OR REPLACE TRIGGER " FOLLOW_TRIGGER
							   " AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW"
							   " EXECUTE FUNCTION featul_integrations.follow(%s)",
							   relation, argument),
					  SPI_OK_UTILITY);
	own_query_execute(
		psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER " FOLLOW_TRIGGER, relation),
		SPI_OK_UTILITY);
	own_query_execute(psprintf("ALTER TRIGGER " FOLLOW_TRIGGER
							   " ON %s DEPENDS ON EXTENSION featul_integrations",
							   relation),
					  SPI_OK_UTILITY);
}

/* What was taken over, and is none of these rows any more. */
static List *
find_gone(List *rows)
{
	Text		   *workspaces = palloc(Max(list_length(rows), 1) * sizeof(Text));
	Text		   *types = palloc(Max(list_length(rows), 1) * sizeof(Text));
	QueryParameters parameters = { 0 };
	List		   *gone = NIL;
	ListCell	   *cell;
	int				n_rows = 0;
	int64			count;

	foreach (cell, rows)
	{
		const OldIntegration *old = lfirst(cell);

		if (old->workspace_id == NULL || old->type == NULL)
			continue;
		workspaces[n_rows] = text_of(old->workspace_id);
		types[n_rows++] = text_of(old->type);
	}
	query_add(&parameters, TEXTARRAYOID, lookups_text_array(workspaces, n_rows), false);
	query_add(&parameters, TEXTARRAYOID, lookups_text_array(types, n_rows), false);
	count = query_read(&parameters,
					   "SELECT i.workspace_id, i.type FROM featul_integrations.imported i"
					   " WHERE NOT EXISTS (SELECT FROM ROWS FROM"
					   " (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS o (w, t)"
					   " WHERE o.w = i.workspace_id AND o.t = i.type) ORDER BY 1, 2");
	for (int64 row = 0; row < count; row++)
	{
		OldIntegration *old = palloc0(sizeof(OldIntegration));

		old->workspace_id = query_result(row, 1);
		old->type = query_result(row, 2);
		gone = lappend(gone, old);
	}
	return gone;
}

/*
 * Disconnects what was taken over from rows that are gone, as the trigger would have done if it
 * had seen them go: a node's tables have been copied anew.
 */
static void
remove_gone(ReturnSetInfo *result, List *rows)
{
	ListCell *cell;

	foreach (cell, find_gone(rows))
	{
		const OldIntegration *old = lfirst(cell);

		import_remove(old);
		return_import(result, old, "It is gone from the application's table");
	}
}

FEATUL_FUNCTION(featul_integration_import);

/* integration_import(app_schema, events, follow): see the install script. */
Datum
featul_integration_import(PG_FUNCTION_ARGS)
{
	OwnQuery   query;
	ArrayType *events;
	bool	   follow;
	bool	   followed;
	Oid		   table;
	List	  *rows;
	ListCell  *cell;

	attach_require_owner();
	api_require(fcinfo, 2, "follow");
	events = events_argument(fcinfo, 1);
	follow = PG_GETARG_BOOL(2);
	InitMaterializedSRF(fcinfo, 0);
	query_begin(&query);
	binding_require();
	table = find_old_table(schema_argument(fcinfo, 0));
	followed = OidIsValid(get_trigger_oid(table, FOLLOW_TRIGGER, true));
	if (follow)
		follow_table(table, events);
	rows = read_old_integrations(table);
	foreach (cell, rows)
	{
		OldIntegration *old = lfirst(cell);

		return_import((ReturnSetInfo *) fcinfo->resultinfo, old,
					  import_take_over(old, events, follow));
	}
	if (follow && followed && replicated_completely(table))
		remove_gone((ReturnSetInfo *) fcinfo->resultinfo, rows);
	query_end(&query);
	return (Datum) 0;
}
