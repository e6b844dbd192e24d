/*
 * integration.c
 *		The SQL API for applications: integration_list, _events, _connect, _disconnect,
 *		_secret and _rotate_secret.
 *
 * Every function of the API checks in the same order (docs/application.md): who calls,
 * the arguments, the workspace, role and plan, the integration or delivery; what costs
 * more than a look comes after all of these.  None is STRICT: a NULL argument is an
 * error of its own.  All are SECURITY DEFINER with a safe search_path.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "api/access.h"
#include "api/api.h"
#include "api/filter.h"
#include "api/query.h"
#include "application/binding.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/event_kind.h"
#include "capture/workspace.h"

/* ------------------------------------------------------------------------
 * integration_list
 * ------------------------------------------------------------------------ */

/*
 * Adds the ids and present slugs of a workspace's boards, as $2 and $3.  A
 * statement of its own: see user_context_as_table_owner().
 */
static void
add_boards(QueryParameters *parameters, const char *workspace_id)
{
	QueryParameters workspace = { 0 };
	StringInfoData	sql;

	initStringInfo(&sql);
	appendStringInfoString(
		&sql, "SELECT array_agg(b.id), array_agg(coalesce(b.slug, b.id)) FROM ");
	binding_append_rows(&sql, SOURCE_BOARD, BOARD_WORKSPACE_ID, "$1", "b");
	query_add_text(&workspace, workspace_id);
	(void) query_read_bound(&workspace, SOURCE_BOARD, sql.data);
	for (int column = 1; column <= 2; column++)
	{
		bool  is_null;
		Datum texts =
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);

		query_add(parameters, TEXTARRAYOID, texts, is_null);
	}
}

/* $1: workspace, $2, $3: boards' ids and slugs, $4: whether its plan has integrations */
static const char list_query[] =
	"SELECT i.id, i.type, s.status <> 'inactive', i.events,"
	" CASE WHEN i.boards IS NOT NULL THEN ARRAY(SELECT b.slug"
	" FROM unnest(i.boards) WITH ORDINALITY AS u (id, n)"
	" JOIN unnest($2, $3) AS b (id, slug) ON b.id = u.id ORDER BY u.n) END,"
	" i.rule, h.last_triggered_at, i.created_at, i.updated_at,"
	" CASE WHEN $4 THEN s.status ELSE 'inactive' END,"
	" CASE WHEN NOT i.is_active THEN i.inactive_reason"
	" WHEN s.status = 'inactive' THEN 'It came with a copy of another database. Connect it again to use it here.'"
	" WHEN NOT $4 THEN 'The workspace''s plan has no integrations: upgrade to Starter or Professional.'"
	" WHEN h.failures = 1 THEN 'The last attempt failed: ' || h.last_error"
	" WHEN h.failures > 1 THEN 'The last ' || h.failures || ' attempts failed: ' || h.last_error END"
	" FROM featul_integrations.integration i"
	" JOIN featul_integrations.stat_integrations s ON s.integration_id = i.id"
	" LEFT JOIN featul_integrations.health h ON h.integration_id = i.id"
	" WHERE i.workspace_id = $1 ORDER BY i.created_at, i.type";

FEATUL_FUNCTION(featul_integration_list);

/* integration_list(workspace_slug text): see the install script. */
Datum
featul_integration_list(PG_FUNCTION_ARGS)
{
	OwnQuery		query;
	QueryParameters parameters = { 0 };
	Workspace	   *workspace;
	char		   *slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	InitMaterializedSRF(fcinfo, 0);
	query_begin(&query);
	workspace = access_workspace(slug, PERMISSION_VIEW, false);
	query_add_text(&parameters, workspace->id);
	add_boards(&parameters, workspace->id);
	query_add(&parameters, BOOLOID, BoolGetDatum(workspace->paid), false);
	(void) query_read(&parameters, list_query);
	query_put_rows((ReturnSetInfo *) fcinfo->resultinfo);
	query_end(&query);
	return (Datum) 0;
}

/* ------------------------------------------------------------------------
 * integration_events
 * ------------------------------------------------------------------------ */

FEATUL_FUNCTION(featul_integration_events);

/* integration_events(): see the install script. */
Datum
featul_integration_events(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (EventKind kind = 0; kind < EVENT_COUNT; kind++)
	{
		const EventDefinition *event = &event_definitions[kind];
		Datum				   values[] = { CStringGetTextDatum(event->name),
											CStringGetTextDatum(event->label),
											CStringGetTextDatum(event->description) };
		bool				   nulls[lengthof(values)] = { false };

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ------------------------------------------------------------------------
 * integration_connect, integration_disconnect
 * ------------------------------------------------------------------------ */

/* What integration_connect() is given, checked. */
typedef struct Connection
{
	const Channel *channel;
	char		  *url;
	ArrayType	  *events;
	ArrayType	  *boards; /* slugs first, then ids */
	char		  *rule;
} Connection;

/* An array argument, NULL where it is SQL's NULL. */
static ArrayType *
array_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_ARRAYTYPE_P(n);
}

/* All that a look at the arguments tells. */
static void
take_connection(FunctionCallInfo fcinfo, Connection *connection)
{
	connection->channel = api_channel(fcinfo, 1);
	connection->url = api_text(fcinfo, 2, "webhook_url");
	connection->channel->check_url(connection->url);
	connection->events = filter_events(array_argument(fcinfo, 3));
	connection->boards = array_argument(fcinfo, 4);
	filter_check_slugs(connection->boards);
	connection->rule = PG_ARGISNULL(5) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(5));
	filter_check_rule(connection->rule);
}

/* Refuses a workspace whose id is too long for our tables. */
static void
check_workspace_id(const Workspace *workspace)
{
	if (strlen(workspace->id) > WORKSPACE_ID_MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
				 errmsg("Workspace cannot have integrations"),
				 errdetail("Its id is longer than %d bytes.", WORKSPACE_ID_MAX_BYTES),
				 errhint("Bind a shorter expression as the workspace's id.")));
}

/* What costs more: board slugs become ids, the rule is tried out.  Needs an SPI connection. */
static void
resolve_connection(Connection *connection, const Workspace *workspace)
{
	connection->boards = filter_boards(connection->boards, workspace->id);
	filter_try_rule(connection->rule);
}

/* Inserts or updates the integration; its id, and whether it is new. */
static char *
store_connection(const Connection *connection, const Workspace *workspace, bool *inserted)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, workspace->id);
	query_add_text(&parameters, connection->channel->type);
	query_add_text(&parameters, connection->url);
	query_add_text(&parameters, connection->channel->signs ? channel_new_secret() : NULL);
	query_add(&parameters, TEXTARRAYOID, PointerGetDatum(connection->events),
			  connection->events == NULL);
	query_add(&parameters, TEXTARRAYOID, PointerGetDatum(connection->boards),
			  connection->boards == NULL);
	query_add_text(&parameters, connection->rule);
	(void) query_write(
		&parameters,
		"INSERT INTO featul_integrations.integration AS i"
		" (workspace_id, type, webhook_url, secret, events, boards, rule)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7)"
		" ON CONFLICT (workspace_id, type) DO UPDATE SET webhook_url = excluded.webhook_url,"
		" secret = coalesce(i.secret, excluded.secret), events = excluded.events,"
		" boards = excluded.boards, rule = excluded.rule, is_active = true,"
		" inactive_reason = NULL, updated_at = clock_timestamp()"
		/* a row that this command inserted was locked or deleted by nobody */
		" RETURNING id, xmax = 0");
	*inserted = query_result_bool(0, 2);
	return query_result(0, 1);
}

/*
 * Error context callback: the server's log would show the caller's statement,
 * and with it the URL, beside whatever goes wrong here.
 */
static void
hide_statement(void *unused)
{
	errhidestmt(true);
	errhidecontext(true);
}

FEATUL_FUNCTION(featul_integration_connect);

/* integration_connect(workspace_slug, type, webhook_url, events, boards, rule): see the install script. */
Datum
featul_integration_connect(PG_FUNCTION_ARGS)
{
	OwnQuery			 query;
	ErrorContextCallback hiding = { .previous = error_context_stack,
									.callback = hide_statement };
	Connection			 connection;
	Workspace			*workspace;
	char				*slug;
	bool				 inserted;

	error_context_stack = &hiding;
	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	take_connection(fcinfo, &connection);
	query_begin(&query);
	workspace = access_workspace(slug, PERMISSION_MANAGE, true);
	check_workspace_id(workspace);
	access_lock_workspace(workspace);
	resolve_connection(&connection, workspace);
	api_claim_integration(store_connection(&connection, workspace, &inserted));
	query_end(&query);
	error_context_stack = hiding.previous;
	return api_success(fcinfo, psprintf("%s integration %s", connection.channel->label,
										inserted ? "connected" : "updated"));
}

FEATUL_FUNCTION(featul_integration_disconnect);

/* integration_disconnect(workspace_slug, type): see the install script. */
Datum
featul_integration_disconnect(PG_FUNCTION_ARGS)
{
	OwnQuery		query;
	QueryParameters parameters = { 0 };
	const Channel  *channel;
	char		   *slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	channel = api_channel(fcinfo, 1);
	query_begin(&query);
	query_add_text(&parameters, access_workspace(slug, PERMISSION_MANAGE, false)->id);
	query_add_text(&parameters, channel->type);
	/* what is queued for it is the worker's to cancel: it may be very much */
	if (query_write(&parameters, "DELETE FROM featul_integrations.integration"
								 " WHERE workspace_id = $1 AND type = $2") == 0)
		api_integration_not_found(channel);
	query_end(&query);
	return api_success(fcinfo, psprintf("%s integration disconnected", channel->label));
}

/* ------------------------------------------------------------------------
 * integration_secret, integration_rotate_secret
 * ------------------------------------------------------------------------ */

FEATUL_FUNCTION(featul_integration_secret);

/* integration_secret(workspace_slug): see the install script. */
Datum
featul_integration_secret(PG_FUNCTION_ARGS)
{
	OwnQuery query;
	Endpoint endpoint = { 0 };
	char	*slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	query_begin(&query);
	(void) api_load_endpoint(access_workspace(slug, PERMISSION_MANAGE, false),
							 &webhook_channel, &endpoint);
	query_end(&query);
	if (endpoint.secret == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(endpoint.secret));
}

FEATUL_FUNCTION(featul_integration_rotate_secret);

/* integration_rotate_secret(workspace_slug): see the install script. */
Datum
featul_integration_rotate_secret(PG_FUNCTION_ARGS)
{
	OwnQuery		query;
	QueryParameters parameters = { 0 };
	char		   *secret = channel_new_secret();
	char		   *slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	query_begin(&query);
	query_add_text(&parameters, access_workspace(slug, PERMISSION_MANAGE, false)->id);
	query_add_text(&parameters, secret);
	if (query_write(
			&parameters,
			"UPDATE featul_integrations.integration SET previous_secret = secret,"
			" previous_secret_until = clock_timestamp() + interval '24 hours', secret = $2"
			" WHERE workspace_id = $1 AND type = 'webhook'") == 0)
		api_integration_not_found(&webhook_channel);
	query_end(&query);
	PG_RETURN_TEXT_P(cstring_to_text(secret));
}
