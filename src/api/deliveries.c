/*
 * deliveries.c
 *		The delivery log for applications: integration_deliveries, _message,
 *		_redeliver and _recover.
 *
 * A delivery that is pending has a row in queue; how any other ended is its
 * newest row in attempt.  Sending one again puts it back into queue with the
 * same id and event, so that webhook-id, bytes and place in its post's order
 * stay what they were.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/access.h"
#include "api/api.h"
#include "base/compat.h"
#include "api/filter.h"
#include "api/query.h"
#include "base/errors.h"
#include "base/own_table.h"
#include "base/text.h"

/* docs/application.md */
#define DELIVERIES_MAX_ROWS 10000

/* ------------------------------------------------------------------------
 * integration_deliveries
 * ------------------------------------------------------------------------ */

/* What to look for: NULL means any. */
typedef struct LogFilter
{
	char *type;
	char *state;
	int	  max_rows;
	int64 before; /* only deliveries with a lower id: the next page */
} LogFilter;

/* PT400 unless there is such a state. */
static void
check_state(const char *state)
{
	static const char *const states[] = { "pending", "delivered", "failed", "cancelled" };

	for (int i = 0; i < lengthof(states); i++)
		if (strcmp(states[i], state) == 0)
			return;
	ereport(ERROR, (errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
					errmsg("Unknown state \"%s\"", filter_clipped(state)),
					errhint("States are pending, delivered, failed and cancelled.")));
}

/* The arguments but the workspace; PT400 for what is out of range. */
static void
take_log_filter(FunctionCallInfo fcinfo, LogFilter *filter)
{
	filter->type =
		PG_ARGISNULL(1) ? NULL : unconstify(char *, api_channel(fcinfo, 1)->type);
	filter->state = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (filter->state)
		check_state(filter->state);
	api_require(fcinfo, 3, "max_rows");
	filter->max_rows = PG_GETARG_INT32(3);
	if (filter->max_rows < 1 || filter->max_rows > DELIVERIES_MAX_ROWS)
		ereport(ERROR, (errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
						errmsg("Argument max_rows is out of range"),
						errhint("Ask for 1 to %d deliveries.", DELIVERIES_MAX_ROWS)));
	filter->before = PG_ARGISNULL(4) ? PG_INT64_MAX : PG_GETARG_INT64(4);
}

/*
 * Whose rows in queue are the workspace's: its integrations, and those that were
 * disconnected and whose rows the worker has not cancelled yet.
 */
#define QUEUES                                                                           \
	"ARRAY(SELECT id FROM featul_integrations.integration WHERE workspace_id = $1 UNION" \
	" SELECT integration_id FROM featul_integrations.health WHERE workspace_id = $1)"

/* Is an integration active here? */
#define ACTIVE_HERE OWN_TABLE_ACTIVE_HERE("$6")

/*
 * What stands in queue, newest first: $1 workspace, $2 type, $3 before this id,
 * $4 state, $5 rows, $6 this database.  Walks the primary key from its end, once per integration.
 * A delivery sent again while its old row waits to be cancelled is pending.
 */
#define PENDING_DELIVERIES                                                                                 \
	"SELECT DISTINCT ON (q.id) q.id, q.event_partition, q.event_id, i.type, i.state, q.attempts,"          \
	" l.http_status, l.error, l.duration_ms, l.response, l.at AS last_attempt_at,"                         \
	" CASE WHEN i.state = 'pending' THEN greatest(q.next_attempt_at, i.hold_until) END AS next_attempt_at" \
	" FROM (SELECT i.id, i.type, h.hold_until, CASE WHEN " ACTIVE_HERE                                     \
	" THEN 'pending' ELSE 'cancelled' END AS state"                                                        \
	" FROM featul_integrations.integration i"                                                              \
	" LEFT JOIN featul_integrations.health h ON h.integration_id = i.id WHERE i.workspace_id = $1"         \
	" UNION ALL SELECT h.integration_id, h.type, NULL, 'cancelled' FROM featul_integrations.health h"      \
	" WHERE h.workspace_id = $1 AND NOT EXISTS (SELECT FROM featul_integrations.integration i"             \
	" WHERE i.id = h.integration_id)) i"                                                                   \
	" CROSS JOIN LATERAL (SELECT * FROM featul_integrations.queue"                                         \
	" WHERE integration_id = i.id AND id < $3 ORDER BY id DESC LIMIT $5) q"                                \
	" LEFT JOIN LATERAL (SELECT * FROM featul_integrations.attempt"                                        \
	" WHERE workspace_id = $1 AND delivery_id = q.id AND state <> 'cancelled'"                             \
	" ORDER BY at DESC LIMIT 1) l ON true"                                                                 \
	" WHERE ($2 IS NULL OR i.type = $2) AND ($4 IS NULL OR i.state = $4)"                                  \
	" ORDER BY q.id DESC, i.state = 'pending' DESC"

/* The newest attempt of each delivery ($1 to $3 as above), by walking attempt_delivery from its end. */
#define NEWEST_ATTEMPTS                                                                  \
	"SELECT DISTINCT ON (delivery_id) * FROM featul_integrations.attempt"                \
	" WHERE workspace_id = $1 AND ($2 IS NULL OR type = $2) AND delivery_id < $3"        \
	" ORDER BY delivery_id DESC, at DESC"

/*
 * The same where it did not end well: these are few among very many, and have
 * an index of their own (attempt_unsent).
 */
#define NEWEST_UNSENT_ATTEMPTS                                                           \
	"SELECT * FROM featul_integrations.attempt a"                                        \
	" WHERE workspace_id = $1 AND ($2 IS NULL OR type = $2) AND delivery_id < $3"        \
	" AND state IN ('failed', 'cancelled')"                                              \
	" AND NOT EXISTS (SELECT FROM featul_integrations.attempt n"                         \
	" WHERE n.workspace_id = $1 AND n.delivery_id = a.delivery_id AND n.at > a.at)"      \
	" ORDER BY delivery_id DESC"

/* What is settled; an attempt left pending without a queue row was cancelled. */
static void
append_settled(StringInfo sql, const LogFilter *filter)
{
	bool unsent = filter->state && (strcmp(filter->state, "failed") == 0 ||
									strcmp(filter->state, "cancelled") == 0);

	appendStringInfo(
		sql,
		"SELECT a.delivery_id, a.event_partition, a.event_id, a.type, s.state, a.attempts,"
		" a.http_status, a.error, a.duration_ms, a.response,"
		" CASE WHEN a.state <> 'cancelled' THEN a.at ELSE"
		" (SELECT max(at) FROM featul_integrations.attempt WHERE workspace_id = $1"
		" AND delivery_id = a.delivery_id AND state <> 'cancelled') END, NULL::timestamptz"
		" FROM (%s) a CROSS JOIN LATERAL (SELECT CASE WHEN a.state = 'pending'"
		" THEN 'cancelled' ELSE a.state END AS state) s"
		" WHERE ($4 IS NULL OR $4 <> 'pending' AND s.state = $4) AND NOT EXISTS"
		/* OFFSET keeps the planner from joining, and so from reading all of queue */
		" (SELECT FROM featul_integrations.queue WHERE id = a.delivery_id AND integration_id = ANY"
		" (" QUEUES ") OFFSET 0)"
		" ORDER BY a.delivery_id DESC LIMIT $5",
		unsent ? NEWEST_UNSENT_ATTEMPTS : NEWEST_ATTEMPTS);
}

/* Appends the query: what waits and what is settled, newest first, with the events. */
static void
append_log_query(StringInfo sql, const LogFilter *filter)
{
	appendStringInfoString(
		sql,
		"SELECT d.id, e.name, d.type, d.state, d.attempts, d.http_status, d.error, d.duration_ms,"
		" d.response, e.created_at, d.last_attempt_at, d.next_attempt_at, e.payload::jsonb"
		" FROM (SELECT * FROM (" PENDING_DELIVERIES ") p UNION ALL SELECT * FROM (");
	append_settled(sql, filter);
	appendStringInfoString(
		sql, ") f ORDER BY 1 DESC LIMIT $5) d"
			 " LEFT JOIN LATERAL (SELECT * FROM featul_integrations.event"
			 " WHERE partition = d.event_partition AND id = d.event_id LIMIT 1) e ON true"
			 " ORDER BY d.id DESC");
}

FEATUL_FUNCTION(featul_integration_deliveries);

/* integration_deliveries(workspace_slug, type, state, max_rows, before): see the install script. */
Datum
featul_integration_deliveries(PG_FUNCTION_ARGS)
{
	OwnQuery		query;
	QueryParameters parameters = { 0 };
	StringInfoData	sql;
	LogFilter		filter;
	char		   *slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	take_log_filter(fcinfo, &filter);
	InitMaterializedSRF(fcinfo, 0);
	query_begin(&query);
	query_add_text(&parameters, access_workspace(slug, PERMISSION_VIEW, false)->id);
	query_add_text(&parameters, filter.type);
	query_add(&parameters, INT8OID, Int64GetDatum(filter.before), false);
	query_add_text(&parameters, filter.state);
	query_add(&parameters, INT4OID, Int32GetDatum(filter.max_rows), false);
	query_add(&parameters, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	initStringInfo(&sql);
	append_log_query(&sql, &filter);
	(void) query_read(&parameters, sql.data);
	query_put_rows((ReturnSetInfo *) fcinfo->resultinfo);
	query_end(&query);
	return (Datum) 0;
}

/* ------------------------------------------------------------------------
 * One delivery
 * ------------------------------------------------------------------------ */

/* Raises PT404, with this hint. */
static void
delivery_not_found(const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_FEATUL_NOT_FOUND), errmsg("Delivery not found"),
					errhint("%s", hint)));
}

/* Raises PT400. */
static void
delivery_pending(void)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_FEATUL_BAD_ARGUMENT), errmsg("Delivery is still pending"),
		 errhint("It is sent by itself; only settled deliveries can be sent again.")));
}

/* True if the delivery stands in queue for an integration of the workspace. */
static bool
is_pending(const Workspace *workspace, int64 delivery_id)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, workspace->id);
	query_add(&parameters, INT8OID, Int64GetDatum(delivery_id), false);
	query_add(&parameters, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	return query_read(
			   &parameters,
			   "SELECT FROM featul_integrations.integration i"
			   " JOIN featul_integrations.queue q ON q.integration_id = i.id"
			   " JOIN featul_integrations.health h ON h.integration_id = i.id"
			   " WHERE i.workspace_id = $1 AND q.id = $2 AND " OWN_TABLE_ACTIVE_HERE(
				   "$3")) > 0;
}

/* A delivery: what it goes or went to, and what it says. */
typedef struct OldDelivery
{
	char *type;
	char *event_partition;
	char *event_id;
} OldDelivery;

/* One of the workspace's, from the log or from queue; else 404. */
static void
find_delivery(const Workspace *workspace, int64 delivery_id, OldDelivery *delivery)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, workspace->id);
	query_add(&parameters, INT8OID, Int64GetDatum(delivery_id), false);
	if (query_read(
			&parameters,
			"SELECT type, event_partition, event_id, at FROM featul_integrations.attempt"
			" WHERE workspace_id = $1 AND delivery_id = $2"
			" UNION ALL SELECT h.type, q.event_partition, q.event_id, NULL"
			" FROM featul_integrations.health h"
			" JOIN featul_integrations.queue q ON q.integration_id = h.integration_id"
			" WHERE h.workspace_id = $1 AND q.id = $2"
			" ORDER BY at DESC NULLS LAST LIMIT 1") == 0)
		delivery_not_found(
			"It never was one of this workspace's, or is older than featul_integrations.retention.");
	delivery->type = query_result(0, 1);
	delivery->event_partition = query_result(0, 2);
	delivery->event_id = query_result(0, 3);
}

/* Its type's channel; 404 if there is none any more. */
static const Channel *
channel_of(const OldDelivery *delivery)
{
	const Channel *channel = delivery->type ? channel_find(delivery->type) : NULL;

	if (channel == NULL)
		delivery_not_found("Its type is no longer supported.");
	return channel;
}

/* ------------------------------------------------------------------------
 * integration_message
 * ------------------------------------------------------------------------ */

/* What it says; 404 if that is gone. */
static void
read_event(const OldDelivery *delivery, Event *event)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, delivery->event_partition);
	query_add_text(&parameters, delivery->event_id);
	if (query_read(
			&parameters,
			"SELECT name, webhook_id, payload, labels, extract(epoch FROM created_at)"
			" FROM featul_integrations.event WHERE partition = $1::smallint AND id = $2::bigint") ==
		0)
		delivery_not_found("Its payload is older than featul_integrations.retention.");
	event->name = query_result(0, 1);
	event->webhook_id = query_result(0, 2);
	event->payload = query_result(0, 3);
	event->labels = query_result(0, 4);
	event->created_at = time_t_to_timestamptz(strtoll(query_result(0, 5), NULL, 10));
}

FEATUL_FUNCTION(featul_integration_message);

/* integration_message(workspace_slug, delivery_id): see the install script. */
Datum
featul_integration_message(PG_FUNCTION_ARGS)
{
	OwnQuery	   query;
	OldDelivery	   delivery;
	Event		   event = { 0 };
	StringInfoData body;
	char		  *slug;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	api_require(fcinfo, 1, "delivery_id");
	query_begin(&query);
	find_delivery(access_workspace(slug, PERMISSION_VIEW, false), PG_GETARG_INT64(1),
				  &delivery);
	read_event(&delivery, &event);
	query_end(&query);

	initStringInfo(&body);
	channel_of(&delivery)->render(&event, &body);
	PG_RETURN_TEXT_P(cstring_to_text(text_from_foreign(body.data, body.len, body.len)));
}

/* ------------------------------------------------------------------------
 * integration_redeliver, integration_recover
 * ------------------------------------------------------------------------ */

/* The id of the workspace's active integration of that type; else 404 or 400. */
static char *
active_integration(const Workspace *workspace, const Channel *channel)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, workspace->id);
	query_add_text(&parameters, channel->type);
	query_add(&parameters, OIDOID, ObjectIdGetDatum(MyDatabaseId), false);
	if (query_read(
			&parameters,
			"SELECT i.id, " OWN_TABLE_ACTIVE_HERE(
				"$3") " FROM featul_integrations.integration i"
					  " LEFT JOIN featul_integrations.health h ON h.integration_id = i.id"
					  " WHERE i.workspace_id = $1 AND i.type = $2") == 0)
		api_integration_not_found(channel);
	if (!query_result_bool(0, 2))
		ereport(ERROR,
				(errcode(ERRCODE_FEATUL_BAD_ARGUMENT), errmsg("Integration is inactive"),
				 errhint("Connect it again, or test it successfully, first.")));
	return query_result(0, 1);
}

/* Queues it for that integration; 404 if its payload is gone, 400 if it is there already. */
static void
queue_again(int64 delivery_id, const OldDelivery *delivery, const char *integration_id)
{
	QueryParameters parameters = { 0 };

	query_add_text(&parameters, delivery->event_partition);
	query_add_text(&parameters, delivery->event_id);
	/* reading the event's row also keeps its partition from being truncated */
	if (query_read(&parameters,
				   "SELECT FROM featul_integrations.event"
				   " WHERE partition = $1::smallint AND id = $2::bigint") == 0)
		delivery_not_found("Its payload is older than featul_integrations.retention.");
	query_add(&parameters, INT8OID, Int64GetDatum(delivery_id), false);
	query_add_text(&parameters, integration_id);
	if (query_write(
			&parameters,
			"INSERT INTO featul_integrations.queue (id, integration_id, event_partition, event_id, post_id, event_name)"
			" SELECT $3, $4::uuid, partition, id, post_id, name FROM featul_integrations.event"
			" WHERE partition = $1::smallint AND id = $2::bigint ON CONFLICT DO NOTHING") ==
		0)
		delivery_pending();
}

FEATUL_FUNCTION(featul_integration_redeliver);

/* integration_redeliver(workspace_slug, delivery_id): see the install script. */
Datum
featul_integration_redeliver(PG_FUNCTION_ARGS)
{
	OwnQuery	query;
	Workspace  *workspace;
	OldDelivery delivery;
	char	   *slug;
	int64		delivery_id;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	api_require(fcinfo, 1, "delivery_id");
	delivery_id = PG_GETARG_INT64(1);
	query_begin(&query);
	workspace = access_workspace(slug, PERMISSION_MANAGE, true);
	if (is_pending(workspace, delivery_id))
		delivery_pending();
	find_delivery(workspace, delivery_id, &delivery);
	queue_again(delivery_id, &delivery,
				active_integration(workspace, channel_of(&delivery)));
	query_end(&query);
	return api_success(fcinfo, "Delivery queued");
}

FEATUL_FUNCTION(featul_integration_recover);

/* integration_recover(workspace_slug, type, since): see the install script. */
Datum
featul_integration_recover(PG_FUNCTION_ARGS)
{
	OwnQuery		query;
	QueryParameters parameters = { 0 };
	const Channel  *channel;
	Workspace	   *workspace;
	char		   *slug;
	int64			count;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	channel = api_channel(fcinfo, 1);
	api_require(fcinfo, 2, "since");
	query_begin(&query);
	workspace = access_workspace(slug, PERMISSION_MANAGE, true);
	query_add_text(&parameters, workspace->id);
	query_add_text(&parameters, channel->type);
	query_add(&parameters, INT8OID, Int64GetDatum(PG_INT64_MAX), false);
	query_add_text(&parameters, active_integration(workspace, channel));
	query_add(&parameters, TIMESTAMPTZOID, PG_GETARG_DATUM(2), false);
	count = query_write(
		&parameters,
		"INSERT INTO featul_integrations.queue (id, integration_id, event_partition, event_id, post_id, event_name)"
		" SELECT a.delivery_id, $4::uuid, e.partition, e.id, e.post_id, e.name FROM"
		" (SELECT delivery_id, event_partition, event_id FROM (" NEWEST_UNSENT_ATTEMPTS
		") u WHERE at >= $5"
		/* what was disconnected this moment and is not in the log yet */
		" UNION SELECT q.id, q.event_partition, q.event_id FROM featul_integrations.health h"
		" JOIN featul_integrations.queue q ON q.integration_id = h.integration_id"
		" WHERE h.workspace_id = $1 AND h.type = $2 AND NOT EXISTS"
		" (SELECT FROM featul_integrations.integration i WHERE i.id = h.integration_id)) a"
		" JOIN featul_integrations.event e ON e.partition = a.event_partition AND e.id = a.event_id"
		" ORDER BY a.delivery_id ON CONFLICT DO NOTHING");
	query_end(&query);
	return api_success(fcinfo, psprintf(INT64_FORMAT " %s queued", count,
										count == 1 ? "delivery" : "deliveries"));
}
