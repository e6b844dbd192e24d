/*
 * integration.c
 *		The SQL API for applications: integration_list, _connect, _disconnect,
 *		_test, _secret, _rotate_secret and _preview.
 *
 * Every function checks in the contract's order (design 2): who calls, the
 * arguments, the workspace, role and plan, the integration.  None is STRICT: a
 * NULL argument is an error of its own.  All are SECURITY DEFINER with a safe
 * search_path.  The delivery log's functions are in replay.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "api/access.h"
#include "api/api.h"
#include "application/binding.h"
#include "channel/channel.h"
#include "base/compat.h"
#include "api/preview.h"
#include "api/filter.h"
#include "capture/payload.h"
#include "api/query.h"
#include "process/wakeup.h"
#include "base/text.h"
#include "base/errors.h"

/* ------------------------------------------------------------------------
 * Common to the API's functions
 * ------------------------------------------------------------------------ */

/* See api.h. */
void
api_require(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
						errmsg("Argument %s must not be NULL", name),
						errhint("Give %s a value.", name)));
}

/* See api.h. */
char *
api_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	api_require(fcinfo, n, name);
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* See api.h. */
const Channel *
api_channel(FunctionCallInfo fcinfo, int n)
{
	char		  *type = api_text(fcinfo, n, "type");
	const Channel *channel = channel_find(type);

	if (channel == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
						errmsg("Unknown integration type \"%s\"", filter_clipped(type)),
						errhint("Types are %s.", channel_types())));
	return channel;
}

/* See api.h. */
void
api_spi_connect(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(context);
}

/* See api.h. */
void
api_spi_finish(void)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

/* See api.h. */
Datum
api_success(FunctionCallInfo fcinfo, const char *message)
{
	TupleDesc description;
	Datum	  values[2] = { BoolGetDatum(true), CStringGetTextDatum(message) };
	bool	  nulls[2] = { false, false };

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}

/* See api.h. */
void
api_integration_not_found(const Channel *channel)
{
	ereport(ERROR, (errcode(ERRCODE_FEATUL_NOT_FOUND), errmsg("Integration not found"),
					errhint("Connect it first: no integration of type %s is connected.",
							channel->type)));
}

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

/* $1: workspace, $2, $3: boards' ids and slugs */
static const char list_query[] =
	"SELECT i.id, i.type, s.status <> 'inactive', i.events,"
	" CASE WHEN i.boards IS NOT NULL THEN ARRAY(SELECT b.slug"
	" FROM unnest(i.boards) WITH ORDINALITY AS u (id, n)"
	" JOIN unnest($2, $3) AS b (id, slug) ON b.id = u.id ORDER BY u.n) END,"
	" i.rule, h.last_triggered_at, i.created_at, i.updated_at, s.status,"
	" CASE WHEN NOT i.is_active THEN i.inactive_reason"
	" WHEN s.status = 'inactive' THEN 'It came with a copy of another database. Connect it again to use it here.'"
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
	QueryParameters parameters = { 0 };
	char		   *slug;
	char		   *workspace_id;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	InitMaterializedSRF(fcinfo, 0);
	api_spi_connect();
	workspace_id = access_workspace(slug, PERMISSION_VIEW, false)->id;
	query_add_text(&parameters, workspace_id);
	add_boards(&parameters, workspace_id);
	(void) query_read(&parameters, list_query);
	query_put_rows((ReturnSetInfo *) fcinfo->resultinfo);
	api_spi_finish();
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

/* All that can be checked without knowing the workspace.  Needs an SPI connection. */
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

/* See api.h. */
void
api_claim_integration(const char *id)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, id);
	query_add(&parameters, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	(void) query_write(
		&parameters,
		"INSERT INTO featul_integrations.health (integration_id, database, workspace_id, type)"
		" SELECT i.id, $2, i.workspace_id, i.type FROM featul_integrations.integration i"
		" WHERE i.id = $1::uuid ON CONFLICT DO NOTHING");
	/* the worker's row is locked only where it is another database's */
	(void) query_write(
		&parameters,
		"UPDATE featul_integrations.health SET database = $2, failures = 0,"
		" failing_since = NULL, held_since = NULL, hold_until = NULL, last_error = NULL"
		" WHERE integration_id = $1::uuid AND database <> $2");
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
	ErrorContextCallback hiding = { .previous = error_context_stack,
									.callback = hide_statement };
	Connection			 connection;
	Workspace			*workspace;
	char				*slug;
	bool				 inserted;

	error_context_stack = &hiding;
	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	api_spi_connect();
	take_connection(fcinfo, &connection);
	workspace = access_workspace(slug, PERMISSION_MANAGE, true);
	access_lock_workspace(workspace);
	connection.boards = filter_boards(connection.boards, workspace->id);
	api_claim_integration(store_connection(&connection, workspace, &inserted));
	api_spi_finish();
	wakeup_reload_at_commit();
	error_context_stack = hiding.previous;
	return api_success(fcinfo, psprintf("%s integration %s", connection.channel->label,
										inserted ? "connected" : "updated"));
}

FEATUL_FUNCTION(featul_integration_disconnect);

/* integration_disconnect(workspace_slug, type): see the install script. */
Datum
featul_integration_disconnect(PG_FUNCTION_ARGS)
{
	QueryParameters parameters = { 0 };
	const Channel  *channel;
	char		   *slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	channel = api_channel(fcinfo, 1);
	api_spi_connect();
	query_add_text(&parameters, access_workspace(slug, PERMISSION_MANAGE, false)->id);
	query_add_text(&parameters, channel->type);
	/* what is queued for it is the worker's to cancel: it may be very much */
	if (query_write(&parameters, "DELETE FROM featul_integrations.integration"
								 " WHERE workspace_id = $1 AND type = $2") == 0)
		api_integration_not_found(channel);
	api_spi_finish();
	wakeup_reload_at_commit();
	return api_success(fcinfo, psprintf("%s integration disconnected", channel->label));
}

/* ------------------------------------------------------------------------
 * integration_test
 * ------------------------------------------------------------------------ */

/* The workspace's integration of that channel; 404 if there is none.  Its id. */
static char *
load_endpoint(const Workspace *workspace, const Channel *channel, Endpoint *endpoint)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, workspace->id);
	query_add_text(&parameters, channel->type);
	if (query_read(&parameters,
				   "SELECT id, webhook_url, secret,"
				   " CASE WHEN previous_secret_until > now() THEN previous_secret END"
				   " FROM featul_integrations.integration"
				   " WHERE workspace_id = $1 AND type = $2") == 0)
		api_integration_not_found(channel);
	endpoint->channel = channel;
	endpoint->url = query_result(0, 2);
	endpoint->secret = query_result(0, 3);
	endpoint->previous_secret = query_result(0, 4);
	return query_result(0, 1);
}

/* http_perform()'s callback: returns when delivered, else raises PT500. */
static void
take_test_result(const HttpResult *result, void *channel)
{
	Verdict verdict = channel_judge(channel, result);
	char   *excerpt;

	if (verdict.kind == VERDICT_DELIVERED)
		return;
	/* design 2: the status and the first 200 characters of the body */
	excerpt =
		result->outcome == HTTP_RESPONSE ? channel_response_excerpt(result, 200) : "";
	ereport(ERROR, (errcode(ERRCODE_FEATUL_DELIVERY_FAILED),
					errmsg("Failed to send webhook notification"),
					result->outcome != HTTP_RESPONSE ? errdetail("%s", verdict.error)
					: *excerpt ? errdetail("HTTP %d: %s", result->status, excerpt)
							   : errdetail("HTTP %d", result->status),
					verdict.reason ? errhint("%s", verdict.reason) : 0));
}

/*
 * Ends what a success disproves: a failing or held state, and inactivity
 * (unless it came with a copied database).  Rows that another transaction has
 * locked are skipped: nothing here may wait.
 */
static void
note_success(const char *id)
{
	QueryParameters parameters = { 0 };
	int64			changed;

	query_add_text(&parameters, id);
	query_add(&parameters, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	changed = query_write(
		&parameters,
		"UPDATE featul_integrations.health SET failures = 0, failing_since = NULL,"
		" held_since = NULL, hold_until = NULL, last_error = NULL"
		" WHERE integration_id = (SELECT integration_id FROM featul_integrations.health"
		" WHERE integration_id = $1::uuid AND database = $2"
		" AND (failures > 0 OR failing_since IS NOT NULL OR hold_until IS NOT NULL)"
		" FOR UPDATE SKIP LOCKED)");
	changed += query_write(
		&parameters,
		"UPDATE featul_integrations.integration SET is_active = true, inactive_reason = NULL"
		" WHERE id = (SELECT i.id FROM featul_integrations.integration i"
		" JOIN featul_integrations.health h ON h.integration_id = i.id AND h.database = $2"
		" WHERE i.id = $1::uuid AND NOT i.is_active FOR UPDATE OF i SKIP LOCKED)");
	if (changed > 0)
		wakeup_reload_at_commit();
}

/* A webhook-id: msg_ and a random UUID. */
static char *
new_webhook_id(void)
{
	Datum uuid = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

	return psprintf("msg_%s", DatumGetCString(DirectFunctionCall1(uuid_out, uuid)));
}

FEATUL_FUNCTION(featul_integration_test);

/* integration_test(workspace_slug, type): see the install script. */
Datum
featul_integration_test(PG_FUNCTION_ARGS)
{
	const Channel *channel;
	Workspace	  *workspace;
	Endpoint	   endpoint = { 0 };
	Event		   event = { .name = "integration.test" };
	HttpRequest	   request = { 0 };
	char		  *slug;
	char		  *id;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	channel = api_channel(fcinfo, 1);
	api_spi_connect();
	workspace = access_workspace(slug, PERMISSION_TEST, true);
	id = load_endpoint(workspace, channel, &endpoint);
	api_spi_finish();
	/* a standby sends nothing (design 7) */
	PreventCommandDuringRecovery("integration_test()");

	event.webhook_id = new_webhook_id();
	event.payload = payload_test(workspace->id, workspace->name, workspace->slug);
	event.created_at = GetCurrentTimestamp();
	channel_request(&endpoint, &event, &request);
	http_perform(&request, take_test_result, unconstify(Channel *, channel));

	if (!XactReadOnly)
	{
		api_spi_connect();
		note_success(id);
		api_spi_finish();
	}
	return api_success(fcinfo, "Test notification sent successfully");
}

/* ------------------------------------------------------------------------
 * integration_secret, integration_rotate_secret
 * ------------------------------------------------------------------------ */

FEATUL_FUNCTION(featul_integration_secret);

/* integration_secret(workspace_slug): see the install script. */
Datum
featul_integration_secret(PG_FUNCTION_ARGS)
{
	Endpoint endpoint = { 0 };
	char	*slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	api_spi_connect();
	(void) load_endpoint(access_workspace(slug, PERMISSION_MANAGE, false),
						 &webhook_channel, &endpoint);
	api_spi_finish();
	if (endpoint.secret == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(endpoint.secret));
}

FEATUL_FUNCTION(featul_integration_rotate_secret);

/* integration_rotate_secret(workspace_slug): see the install script. */
Datum
featul_integration_rotate_secret(PG_FUNCTION_ARGS)
{
	QueryParameters parameters = { 0 };
	char		   *secret = channel_new_secret();
	char		   *slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	api_spi_connect();
	query_add_text(&parameters, access_workspace(slug, PERMISSION_MANAGE, false)->id);
	query_add_text(&parameters, secret);
	if (query_write(
			&parameters,
			"UPDATE featul_integrations.integration SET previous_secret = secret,"
			" previous_secret_until = clock_timestamp() + interval '24 hours', secret = $2"
			" WHERE workspace_id = $1 AND type = 'webhook'") == 0)
		api_integration_not_found(&webhook_channel);
	api_spi_finish();
	wakeup_reload_at_commit();
	PG_RETURN_TEXT_P(cstring_to_text(secret));
}

/* ------------------------------------------------------------------------
 * integration_preview
 * ------------------------------------------------------------------------ */

/* The event's data now: of the workspace's latest matching row, else a sample. */
static void
preview_event(const char *name, const Workspace *workspace, Event *event)
{
	char *payload;
	char *context = NULL;

	if (strcmp(name, "integration.test") == 0)
		payload = payload_test(workspace->id, workspace->name, workspace->slug);
	else if (!preview_latest(name, workspace->id, &payload, &context))
		payload = payload_sample(name, workspace->id, workspace->name, workspace->slug);
	event->name = name;
	event->payload = payload;
	event->context = context;
	event->created_at = GetCurrentStatementStartTimestamp();
}

FEATUL_FUNCTION(featul_integration_preview);

/* integration_preview(workspace_slug, type, event): see the install script. */
Datum
featul_integration_preview(PG_FUNCTION_ARGS)
{
	const Channel *channel;
	Event		   event = { 0 };
	StringInfoData body;
	char		  *slug;
	char		  *name;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	channel = api_channel(fcinfo, 1);
	name = api_text(fcinfo, 2, "event");
	if (strcmp(name, "integration.test") != 0)
		filter_check_event(name);
	api_spi_connect();
	preview_event(name, access_workspace(slug, PERMISSION_VIEW, false), &event);
	api_spi_finish();

	initStringInfo(&body);
	channel->render(&event, &body);
	PG_RETURN_TEXT_P(cstring_to_text(text_from_foreign(body.data, body.len, body.len)));
}
