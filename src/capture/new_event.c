/*
 * new_event.c
 *		From changed rows to events that somebody wants.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "capture/event_payload.h"
#include "capture/failure.h"
#include "capture/new_event.h"

/*
 * Whether an integration's rule (if any) accepts the event, whose payload is parsed for the
 * first that asks.  A rule that may cost too much accepts nothing, and that is reported.
 */
static bool
rule_allows(const Subscription *subscription, const NewEvent *event, Source source,
			Jsonb **payload)
{
	if (subscription->objection)
	{
		ErrorData error = {
			.sqlerrcode = ERRCODE_PROGRAM_LIMIT_EXCEEDED,
			.message = "the rule of an integration is not used",
			.detail = psprintf("Integration %s: %s",
							   DatumGetCString(DirectFunctionCall1(
								   uuid_out, UUIDPGetDatum(&subscription->id))),
							   subscription->objection),
			.hint = "Connect the integration again, with another rule.",
		};

		failure_report(source, &error);
		return false;
	}
	if (subscription->rule == NULL)
		return true;
	if (*payload == NULL)
		*payload = DatumGetJsonbP(
			DirectFunctionCall1(jsonb_in, CStringGetDatum(VARDATA(event->payload))));
	return rule_accepts(subscription->rule, *payload);
}

/* The event as it is to be written; NULL if every integration's rule refuses it. */
static NewEvent *
build_event(const Candidates *candidates, const Candidate *candidate, Source source)
{
	const Subscriptions *subscriptions = candidate->subscriptions;
	NewEvent			*event = palloc0(sizeof(NewEvent));
	Jsonb				*payload = NULL;
	bool				 chat = false;

	event->kind = candidate->event;
	event->workspace_id = row_text(candidate->workspace, WORKSPACE_ID);
	event->post_id = row_text(candidate->post, POST_ID);
	event->milestone = candidate->milestone;
	event->payload = event_payload(candidates, candidate, source);
	event->integrations = palloc(subscriptions->count * sizeof(pg_uuid_t));
	for (int i = 0; i < subscriptions->count; i++)
	{
		const Subscription *subscription = &subscriptions->list[i];

		if (!subscription_wants(subscription, candidate->event,
								row_text(candidate->post, POST_BOARD_ID)) ||
			!rule_allows(subscription, event, source, &payload))
			continue;
		event->integrations[event->n_integrations++] = subscription->id;
		chat = chat || subscription->is_chat;
	}
	if (event->n_integrations == 0)
		return NULL;
	if (chat)
		event->labels = event_labels(candidate);
	return event;
}

/* See new_event.h. */
List *
new_events(Source source, Change *changes, int count)
{
	Candidates candidates = { .lookups = lookups_create() };
	List	  *events = NIL;

	/* what this statement, and the triggers so far, have written is visible */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < count; i++)
		candidates_of_change(&candidates, source, &changes[i]);
	candidates_join(&candidates, source);
	for (int i = 0; i < candidates.count; i++)
	{
		NewEvent *event = build_event(&candidates, &candidates.list[i], source);

		if (event)
			events = lappend(events, event);
	}
	PopActiveSnapshot();
	return events;
}
