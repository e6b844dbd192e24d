/*
 * test.c
 *		integration_test(): a test notification now, in the caller's session.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "api/access.h"
#include "api/api.h"
#include "api/query.h"
#include "base/compat.h"
#include "base/errors.h"
#include "base/event_kind.h"
#include "base/own_table.h"
#include "base/text.h"
#include "capture/payload.h"
#include "process/wakeup.h"

/* http_perform()'s callback: returns when delivered, else raises PT500. */
static void
take_test_result(const HttpResult *result, void *channel)
{
	Verdict verdict = channel_judge(channel, result);
	char   *excerpt;

	if (verdict.kind == VERDICT_DELIVERED)
		return;
	/* as docs/application.md says: the status and the first 200 characters of the body */
	excerpt =
		result->outcome == HTTP_RESPONSE ? channel_response_excerpt(result, 200) : "";
	ereport(ERROR, (errcode(ERRCODE_FEATUL_DELIVERY_FAILED),
					errmsg("Failed to send webhook notification"),
					result->outcome != HTTP_RESPONSE || result->status / 100 == 3
						? errdetail("%s", verdict.error)
					: *excerpt ? errdetail("HTTP %d: %s", result->status, excerpt)
							   : errdetail("HTTP %d", result->status),
					verdict.reason ? errhint("%s", verdict.reason)
					: verdict.hint ? errhint("%s", verdict.hint)
								   : 0));
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
		" WHERE integration_id = (SELECT h.integration_id FROM featul_integrations.health h"
		" WHERE h.integration_id = $1::uuid AND " OWN_TABLE_HERE(
			"$2") " AND (failures > 0 OR failing_since IS NOT NULL OR hold_until IS NOT NULL)"
				  " FOR UPDATE SKIP LOCKED)");
	changed += query_write(
		&parameters,
		"UPDATE featul_integrations.integration SET is_active = true, inactive_reason = NULL"
		" WHERE id = (SELECT i.id FROM featul_integrations.integration i"
		" JOIN featul_integrations.health h ON h.integration_id = i.id AND " OWN_TABLE_HERE(
			"$2") " WHERE i.id = $1::uuid AND NOT i.is_active FOR UPDATE OF i SKIP LOCKED)");
	if (changed > 0)
		wakeup_integration_at_commit(
			DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(id))));
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
	OwnQuery	   query;
	const Channel *channel;
	Workspace	  *workspace;
	Endpoint	   endpoint = { 0 };
	Event		   event = { .name = EVENT_TEST_NAME };
	HttpRequest	   request = { 0 };
	char		  *slug;
	char		  *id;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	channel = api_channel(fcinfo, 1);
	query_begin(&query);
	workspace = access_workspace(slug, PERMISSION_TEST, true);
	id = api_load_endpoint(workspace, channel, &endpoint);
	query_end(&query);
	/* a standby sends nothing (docs/reliability.md) */
	PreventCommandDuringRecovery("integration_test()");

	event.webhook_id = new_webhook_id();
	event.payload = payload_test(workspace->id, workspace->name, workspace->slug);
	event.created_at = GetCurrentTimestamp();
	event.traceparent = *setting_traceparent ? setting_traceparent : NULL;
	channel_request(&endpoint, &event, &request);
	http_perform(&request, take_test_result, unconstify(Channel *, channel));

	if (!XactReadOnly)
	{
		query_begin(&query);
		note_success(id);
		query_end(&query);
	}
	return api_success(fcinfo, "Test notification sent successfully");
}
