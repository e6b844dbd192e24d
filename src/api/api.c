/*
 * api.c
 *		What the functions of the SQL API have in common: arguments, SPI, results,
 *		and the integration that a call is about.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "api/api.h"
#include "api/filter.h"
#include "api/query.h"
#include "base/errors.h"

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

/* See api.h. */
char *
api_load_endpoint(const Workspace *workspace, const Channel *channel, Endpoint *endpoint)
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
