/*
 * new_event.c
 *		From changed rows to events that somebody wants.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "application/binding.h"
#include "capture/event_payload.h"
#include "capture/failure.h"
#include "capture/new_event.h"

/* How long a comment waits for its mentions (docs/application.md). */
#define MENTIONS_WAIT_MS 1000

/*
 * True if mentions may follow that belong into one message with this comment.  The
 * application commits the comment first, and finds those it mentions by an @.
 */
static bool
awaits_mentions(const Candidate *candidate, const Subscription *subscription)
{
	Text content;

	if (candidate->event != EVENT_COMMENT_CREATED || !subscription->is_chat ||
		(subscription->events & (1 << EVENT_COMMENT_MENTION)) == 0 ||
		!binding_has(SOURCE_MENTION))
		return false;
	content = row_text(candidate->comment, COMMENT_CONTENT);
	return content.data && memchr(content.data, '@', content.length) != NULL;
}

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
build_event(Candidates *candidates, const Candidate *candidate, Source source)
{
	const Subscriptions *subscriptions = candidate->subscriptions;
	NewEvent			*event = palloc0(sizeof(NewEvent));
	Jsonb				*payload = NULL;
	bool				 chat = false;

	event->kind = candidate->event;
	event->workspace_id = row_text(candidate->workspace, WORKSPACE_ID);
	event->post_id = row_text(candidate->post, POST_ID);
	event->comment_id = row_text(candidate->comment, COMMENT_ID);
	event->milestone = candidate->milestone;
	event->payload = event_payload(candidates, candidate, source);
	event->recipients = palloc(subscriptions->count * sizeof(Recipient));
	for (int i = 0; i < subscriptions->count; i++)
	{
		const Subscription *subscription = &subscriptions->list[i];

		if (!subscription_wants(subscription, candidate->event,
								row_text(candidate->post, POST_BOARD_ID)) ||
			!rule_allows(subscription, event, source, &payload))
			continue;
		event->recipients[event->n_recipients++] = (Recipient){
			.id = subscription->id,
			.is_chat = subscription->is_chat,
			.wait_ms = awaits_mentions(candidate, subscription) ? MENTIONS_WAIT_MS : 0
		};
		chat = chat || subscription->is_chat;
	}
	if (event->n_recipients == 0)
		return NULL;
	if (chat)
		event->labels = event_labels(candidates, candidate);
	return event;
}

/* Whether a change is the first that may be told of its row: it was inserted, or became visible. */
static bool
is_first(Source source, const Change *change)
{
	return change->old == NULL ||
		   (events_of_change(source, change->old, change->new) &
			((1 << EVENT_POST_CREATED) | (1 << EVENT_COMMENT_CREATED))) != 0;
}

/*
 * Reads the rows that were inserted or became visible as they are now, at the end of their
 * statement; one that is hidden by now, or gone, is no event.
 */
static void
read_again(Lookups *lookups, Source source, Change *changes, int count)
{
	Oid type = lookups_column_type(lookups, source, 0);

	for (int i = 0; i < count; i++)
		if (is_first(source, &changes[i]))
			lookups_want(lookups, source, row_text(changes[i].new, 0), type);
	lookups_fetch(lookups, source);
	for (int i = 0; i < count; i++)
	{
		Change	  *change = &changes[i];
		const Row *now;

		if (!is_first(source, change) || change->new->value[0].isnull)
			continue;
		now = lookups_get(lookups, source, row_text(change->new, 0));
		change->unseen = now == NULL || !event_possible(source, change->old, now);
		if (!change->unseen)
			change->new = now;
	}
}

/* See new_event.h. */
List *
new_events(Source source, Change *changes, int count, Nesting nesting, bool touched)
{
	Candidates candidates = { .lookups = lookups_create(), .nesting = nesting };
	List	  *events = NIL;

	/* what this statement, and the triggers so far, have written is visible */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (touched)
		read_again(candidates.lookups, source, changes, count);
	for (int i = 0; i < count; i++)
		if (!changes[i].unseen)
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
