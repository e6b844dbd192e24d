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
	RulingKind kind;
	bool	   counts;	 /* FAILED: uses up an attempt */
	Moment	   retry_at; /* FAILED: 0 until the pause is known */
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
	return 1 + delivery->flight->n_merged;
}

/* ------------------------------------------------------------------------
 * Ruling
 * ------------------------------------------------------------------------ */

/* A failed attempt, on account of the endpoint. */
static Ruling
rule_failure(Lane *lane, const Flight *flight)
{
	lane_failed(lane, flight);
	return (Ruling){ .kind = RULING_FAILED,
					 .counts = !flight->probe,
					 .retry_at = flight->probe ? lane->probe_at : 0 };
}

/* It asked to wait: no attempt, unless it has done so for too long. */
static Ruling
rule_hold(Lane *lane, const Flight *flight, const Verdict *verdict)
{
	bool   exhausted = lane_hold_exhausted(lane);
	Moment until = lane_held(lane, flight, verdict->hold_ms);

	if (verdict->holds_channel)
		dispatch_hold_channel(lane->dispatch, lane->channel, until);
	if (exhausted)
		return rule_failure(lane, flight);
	return (Ruling){ .kind = RULING_AGAIN };
}

/*
 * A malformed message: its own fault, so no reason to distrust the endpoint.  One of many
 * may be at fault for all of them: then each is sent by itself.
 */
static Ruling
rule_malformed(Lane *lane, Flight *flight)
{
	lane_refused(lane, flight);
	if (flight->n_merged == 0)
		return (Ruling){ .kind = RULING_REFUSED };
	flight_part(flight);
	return (Ruling){ .kind = RULING_AGAIN };
}

/* What the channel's verdict means, which changes the lane. */
static Ruling
rule_verdict(Lane *lane, Flight *flight, const Verdict *verdict)
{
	switch (verdict->kind)
	{
		case VERDICT_DELIVERED:
			lane_succeeded(lane, flight);
			return (Ruling){ .kind = RULING_DELIVERED };
		case VERDICT_HOLD:
			return rule_hold(lane, flight, verdict);
		case VERDICT_REJECTED:
			return rule_malformed(lane, flight);
		case VERDICT_UNWELCOME:
			/* for its own sake, but it may be tried again */
			lane_refused(lane, flight);
			return (Ruling){ .kind = RULING_FAILED, .counts = true };
		case VERDICT_GONE:
			/* older than what the endpoint has said, or done, since: it is asked again */
			if (flight->started_at < lane->turned_at)
				break;
			lane_failed(lane, flight);
			lane_leave(lane, verdict->reason ? verdict->reason : "the endpoint is gone");
			return (Ruling){ .kind = RULING_REFUSED };
		case VERDICT_RETRY:
			/* one of many may be at fault: the next attempt is each one's own */
			if (verdict->about_message && flight->n_merged > 0)
				flight_part(flight);
			break;
	}
	return rule_failure(lane, flight);
}

/*
 * Connected again meanwhile: what the old endpoint says concerns nobody, but for a hold
 * of the whole channel, which is not about the endpoint.
 */
static Ruling
rule_of_old_endpoint(Lane *lane, const Verdict *verdict)
{
	int64 hold_ms =
		verdict->hold_ms < 0 ? lane_backoff(0, CHANNEL_MAX_HOLD_MS) : verdict->hold_ms;

	if (verdict->holds_channel)
		dispatch_hold_channel(lane->dispatch, lane->channel,
							  clock_after_ms(lane->dispatch->now, hold_ms));
	return (Ruling){ .kind = RULING_AGAIN };
}

/* What an attempt means, which changes the lane. */
static Ruling
rule_attempt(Lane *lane, Flight *flight, const Attempt *attempt)
{
	const Verdict *verdict = &attempt->verdict;
	Ruling		   ruling;

	if (flight->connected_at != lane->updated_at && verdict->kind != VERDICT_DELIVERED)
		return rule_of_old_endpoint(lane, verdict);

	lane->last_status = attempt->http_status;
	lane_answered(lane, flight);
	lane_count_latency(lane, attempt->duration_ms);
	lane_set_text(lane, &lane->last_error,
				  verdict->kind == VERDICT_DELIVERED ? NULL : verdict->error);
	ruling = rule_verdict(lane, flight, verdict);
	lane->paced = verdict->pace_ms > 0 || lane->channel->pace_ms > 0;
	if (verdict->pace_ms > 0)
		lane->pace_until =
			Max(lane->pace_until, clock_after_ms(lane->dispatch->now, verdict->pace_ms));
	return ruling;
}

/* ------------------------------------------------------------------------
 * Settling
 * ------------------------------------------------------------------------ */

/* The settlement of a delivery whose request is over. */
static void
settle(Delivery *delivery, const char *state, Moment next_attempt_at,
	   Settlement *settlement)
{
	Lane *lane = delivery->key.lane;

	*settlement = (Settlement){
		.delivery = delivery,
		.integration_id = lane->id,
		.id = delivery->key.id,
		.xid = delivery->xid,
		.event = delivery_event(delivery),
		.workspace_id = lane->workspace_id,
		.type = lane->type,
		.state = state,
		.ends = strcmp(state, "pending") != 0,
		.attempts = delivery->attempts,
		.duration_ms = -1,
		.at = lane->dispatch->time,
		.next_attempt_at = dispatch_time(lane->dispatch, next_attempt_at),
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
		ruling->retry_at = clock_after_ms(
			lane->dispatch->now, lane_backoff(delivery->attempts - 1, LANE_MAX_RETRY_MS));
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
outcome_of_attempt(Delivery *delivery, const Attempt *attempt, Settlement **settlements)
{
	Lane   *lane = delivery->key.lane;
	Post   *first = delivery->post;
	Post   *post = NULL;
	Flight *flight = lane_end_request(delivery);
	Ruling	ruling = rule_attempt(lane, flight, attempt);

	do
	{
		Settlement *settlement = *settlements++;

		settle_ruled(delivery, &ruling, settlement);
		settlement->http_status = attempt->http_status;
		settlement->error = attempt->verdict.error;
		settlement->response = attempt->response;
		settlement->duration_ms = attempt->duration_ms;
		if (post)
			post_update(post);
	} while ((delivery = flight_unmerge(flight, &post)) != NULL);
	pfree(flight);
	go_on(lane, first);
}

/* See outcome.h. */
void
outcome_unsendable(Delivery *delivery, const char *error, Settlement *settlement)
{
	Lane   *lane = delivery->key.lane;
	Post   *post = delivery->post;
	Flight *flight = lane_end_request(delivery);
	Ruling	ruling = { .kind = RULING_REFUSED };

	flight_put_back(flight);
	pfree(flight);
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
