/*
 * outcome.c
 *		What an answer means: for the delivery, for those that went out with it,
 *		and for their lane.  The only author of settlements.
 *
 * First the answer is ruled on, once: it changes the lane, and says what becomes
 * of each delivery that went out with the request.  Then each is settled after that
 * ruling, by its own count of attempts.
 */
#include "postgres.h"

#include "base/settings.h"
#include "delivery/lane.h"
#include "delivery/lane_health.h"
#include "delivery/lane_roster.h"
#include "delivery/lane_window.h"
#include "delivery/outcome.h"

/* Bound of the pause between attempts, whatever the settings multiply to. */
#define MAX_RETRY_MS (INT64CONST(7) * 24 * 3600 * 1000)

/* What becomes of what went out. */
typedef enum RulingKind
{
	RULING_DELIVERED,
	RULING_FAILED, /* one attempt used up: another one after a pause, or that was the last */
	RULING_REFUSED, /* one attempt used up, and no other will do */
	RULING_AGAIN	/* counts for nobody: again as soon as the lane may send */
} RulingKind;

typedef struct Ruling
{
	RulingKind	kind;
	bool		counts;	  /* FAILED: uses up an attempt */
	TimestampTz retry_at; /* FAILED: 0 until the pause is known */
} Ruling;

/* See outcome.h. */
const Channel *
outcome_channel(const Delivery *delivery)
{
	return delivery->key.lane->channel;
}

/* See outcome.h. */
int
outcome_count(const Delivery *delivery)
{
	return 1 + delivery->n_merged;
}

/* ------------------------------------------------------------------------
 * Ruling
 * ------------------------------------------------------------------------ */

/* A failed attempt, on account of the endpoint. */
static Ruling
rule_failure(const Delivery *delivery)
{
	Lane *lane = delivery->key.lane;

	lane_failed(lane, delivery->probe);
	return (Ruling){ .kind = RULING_FAILED,
					 .counts = !delivery->probe,
					 .retry_at = delivery->probe ? lane->blocked_until : 0 };
}

/* What the channel's verdict means, which changes the lane. */
static Ruling
rule_verdict(const Delivery *delivery, const Verdict *verdict)
{
	Lane *lane = delivery->key.lane;
	bool  quick = lane->dispatch->now - delivery->started_at < SLOW_MS * INT64CONST(1000);

	switch (verdict->kind)
	{
		case VERDICT_DELIVERED:
			lane_succeeded(lane, quick);
			return (Ruling){ .kind = RULING_DELIVERED };
		case VERDICT_HOLD:
			if (lane_hold_exhausted(lane))
				return rule_failure(delivery);
			lane_held(lane, verdict->hold_ms);
			return (Ruling){ .kind = RULING_AGAIN };
		case VERDICT_REJECTED:
			/* its own fault, so no reason to distrust the endpoint */
			lane_refused(lane, quick);
			return (Ruling){ .kind = RULING_REFUSED };
		case VERDICT_GONE:
			lane_failed(lane, delivery->probe);
			lane_leave(lane, verdict->reason ? verdict->reason : "the endpoint is gone");
			return (Ruling){ .kind = RULING_REFUSED };
		case VERDICT_RETRY:
			break;
	}
	return rule_failure(delivery);
}

/* What an attempt means, which changes the lane. */
static Ruling
rule_attempt(const Delivery *delivery, const Attempt *attempt)
{
	Lane		  *lane = delivery->key.lane;
	const Verdict *verdict = &attempt->verdict;
	Ruling		   ruling;

	/* connected again meanwhile: what the old endpoint says concerns nobody */
	if (delivery->connected_at != lane->updated_at && verdict->kind != VERDICT_DELIVERED)
		return (Ruling){ .kind = RULING_AGAIN };

	lane->tried = true;
	lane->last_status = attempt->http_status;
	lane_count_latency(lane, attempt->duration_ms);
	lane_set_text(lane, &lane->last_error,
				  verdict->kind == VERDICT_DELIVERED ? NULL : verdict->error);
	ruling = rule_verdict(delivery, verdict);
	lane->paced = verdict->pace_ms > 0 || lane->channel->pace_ms > 0;
	if (verdict->pace_ms > 0)
		lane->blocked_until =
			Max(lane->blocked_until,
				TimestampTzPlusMilliseconds(lane->dispatch->now, verdict->pace_ms));
	return ruling;
}

/* ------------------------------------------------------------------------
 * Settling
 * ------------------------------------------------------------------------ */

/* The settlement of a delivery whose request is over. */
static void
settle(Delivery *delivery, const char *state, TimestampTz next_attempt_at,
	   Settlement *settlement)
{
	Lane *lane = delivery->key.lane;

	*settlement = (Settlement){
		.delivery = delivery,
		.integration_id = lane->id,
		.id = delivery->key.id,
		.xid = delivery->xid,
		.event = delivery->event,
		.workspace_id = lane->workspace_id,
		.type = lane->type,
		.state = state,
		.ends = strcmp(state, "pending") != 0,
		.attempts = delivery->attempts,
		.duration_ms = -1,
		.at = lane->dispatch->now,
		.next_attempt_at = next_attempt_at,
	};
	delivery->settlements++;
	if (settlement->ends)
		delivery_done(delivery);
	else
	{
		delivery->next_attempt_at = next_attempt_at;
		post_insert(delivery->post, delivery);
	}
}

/* A failed attempt: the first to be tried again decides when, and all wait for that. */
static void
settle_failed(Delivery *delivery, Ruling *ruling, Settlement *settlement)
{
	Lane *lane = delivery->key.lane;

	if (ruling->counts && ++delivery->attempts >= setting_max_attempts)
	{
		lane->failed++;
		settle(delivery, "failed", 0, settlement);
		return;
	}
	lane->retried++;
	if (ruling->retry_at == 0)
		ruling->retry_at = TimestampTzPlusMilliseconds(
			lane->dispatch->now, lane_backoff(delivery->attempts - 1, MAX_RETRY_MS));
	settle(delivery, "pending", ruling->retry_at, settlement);
}

/* What the ruling means for one of those that went out. */
static void
settle_ruled(Delivery *delivery, Ruling *ruling, Settlement *settlement)
{
	Lane *lane = delivery->key.lane;

	switch (ruling->kind)
	{
		case RULING_DELIVERED:
			delivery->attempts++;
			lane->delivered++;
			settle(delivery, "delivered", 0, settlement);
			break;
		case RULING_REFUSED:
			delivery->attempts++;
			lane->failed++;
			settle(delivery, "failed", 0, settlement);
			break;
		case RULING_FAILED:
			settle_failed(delivery, ruling, settlement);
			break;
		case RULING_AGAIN:
			settle(delivery, "pending", 0, settlement);
			break;
	}
}

/* Lets post and lane go on, once all that went out is settled. */
static void
go_on(Lane *lane, Post *post)
{
	post_update(post);
	lane_dirty(lane);
	lane_update(lane);
}

/* See outcome.h. */
void
outcome_of_attempt(Delivery *delivery, const Attempt *attempt, TimestampTz now,
				   Settlement **settlements)
{
	Lane  *lane = delivery->key.lane;
	Post  *post = delivery->post;
	int	   count = outcome_count(delivery);
	Ruling ruling;

	lane->dispatch->now = now;
	delivery_end_request(delivery);
	ruling = rule_attempt(delivery, attempt);
	for (int i = 0; i < count; i++)
	{
		settle_ruled(i == 0 ? delivery : delivery_take_merged(delivery), &ruling,
					 settlements[i]);
		settlements[i]->http_status = attempt->http_status;
		settlements[i]->error = attempt->verdict.error;
		settlements[i]->response = attempt->response;
		settlements[i]->duration_ms = attempt->duration_ms;
	}
	go_on(lane, post);
}

/* See outcome.h. */
void
outcome_unsendable(Delivery *delivery, const char *error, TimestampTz now,
				   Settlement *settlement)
{
	Lane	 *lane = delivery->key.lane;
	Post	 *post = delivery->post;
	Ruling	  ruling = { .kind = RULING_REFUSED };
	Delivery *merged;

	lane->dispatch->now = now;
	while ((merged = delivery_take_merged(delivery)) != NULL)
		post_insert(post, merged);
	delivery_end_request(delivery);
	settle_ruled(delivery, &ruling, settlement);
	settlement->error = error;
	go_on(lane, post);
}

/* See outcome.h. */
void
outcome_settled(const Settlement *settlement)
{
	Delivery *delivery = settlement->delivery;
	Lane	 *lane = delivery->key.lane;

	Assert(delivery->settlements > 0);
	if (--delivery->settlements > 0 || delivery->state != DELIVERY_DONE)
		return;
	/* dropped when its lane was closed, which has been opened again since */
	if (!settlement->ends && lane->state == LANE_ACTIVE)
	{
		window_rewind(lane, settlement->id - 1);
		lane_update(lane);
	}
	delivery_free(delivery);
	roster_forget(lane);
}
