/*
 * lane_health.c
 *		How a lane's endpoint fares: failures, holds, the breaker, and what of it
 *		is to be saved.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "port/pg_bitutils.h"

#include "base/settings.h"
#include "delivery/lane.h"
#include "delivery/lane_health.h"

/* Health is written at most so often (ms). */
#define HEALTH_PERIOD_MS 1000

/* Until a locked integration row is tried again (ms). */
#define LOCKED_MS 1000

/* Answers of 429 or 503 for longer than this count as failures (docs/receivers.md). */
#define MAX_HOLD_SERIES_MS (INT64CONST(24) * 3600 * 1000)

/* Failed attempts in a row after which a lane only probes, and its pauses. */
#define BREAKER_FAILURES 10
#define MAX_PROBE_PAUSE_MS (INT64CONST(600) * 1000)

/*
 * Failing for so long makes an integration inactive, if on so many days of it so many
 * attempts failed: not two incidents with nothing between.
 */
#define MAX_FAILING_MS (INT64CONST(5) * 24 * 3600 * 1000)
#define MIN_FAILING_DAYS 2
#define SEVERAL_FAILURES 3

/* How far back stored times are believed: clocks can be wrong. */
#define MAX_PAST_MS (INT64CONST(30) * 24 * 3600 * 1000)

/* ------------------------------------------------------------------------
 * Failures, holds, the breaker
 * ------------------------------------------------------------------------ */

/* See lane_health.h. */
bool
lane_breaker_open(const Lane *lane)
{
	return lane->failures >= BREAKER_FAILURES;
}

/* ±20 % of jitter (docs/receivers.md). */
static int64
jittered(int64 ms)
{
	return (int64) (ms * (0.8 + 0.4 * pg_prng_double(&pg_global_prng_state)));
}

/* See lane_health.h. */
int64
lane_backoff(int n, int64 bound)
{
	double ms = ldexp(setting_retry_delay, Min(n, 60));

	return jittered(ms > bound ? bound : (int64) ms);
}

/* See lane_health.h. */
void
lane_recover(Lane *lane)
{
	lane->failures = 0;
	lane->failing_since = 0;
	lane->failing_days = 0;
	lane->turned_at = lane->dispatch->now;
	lane->probe_at = 0;
	lane->holds = 0;
	lane->held_since = 0;
	lane->hold_until = 0;
}

/*
 * The endpoint has taken a request to the point.  A hold that is younger than the
 * request is not its concern.
 */
static void
end_hold(Lane *lane, const Flight *flight)
{
	if (flight->started_at < lane->held_at)
		return;
	lane->holds = 0;
	lane->held_since = 0;
	lane->hold_until = 0;
}

/* Likewise failures: from now on it fails no longer, or only so many times. */
static void
end_failures(Lane *lane, const Flight *flight, int failures)
{
	if (lane->failures == failures || flight->started_at < lane->turned_at)
		return;
	lane->failures = failures;
	lane->failing_since = 0;
	lane->failing_days = 0;
	lane->probe_at = 0;
	lane->turned_at = lane->dispatch->now;
}

/* See lane_health.h. */
void
lane_succeeded(Lane *lane, const Flight *flight)
{
	lane->allowed = Min(lane->allowed + 1, LANE_MAX_ALLOWED);
	lane->triggered_at = lane->dispatch->time;
	end_hold(lane, flight);
	end_failures(lane, flight, 0);
}

/* See lane_health.h. */
void
lane_refused(Lane *lane, const Flight *flight)
{
	end_hold(lane, flight);
	end_failures(lane, flight, 1);
}

/*
 * A failure is no 429: those after it are a new series.  Not once the old one has
 * lasted too long, or one failure a day would make it last for ever.
 */
static void
break_hold_series(Lane *lane)
{
	lane->holds = 0;
	if (!lane_hold_exhausted(lane))
		lane->held_since = 0;
}

/* A lane that does not do well has fewer requests. */
static void
halve_allowed(Lane *lane)
{
	lane->allowed = Max(Min(lane->allowed, setting_max_in_flight_per_integration) / 2, 1);
}

/* Counts on which days since it began to fail it failed several times. */
static void
count_failing_day(Lane *lane)
{
	int day = (lane->dispatch->now - lane->failing_since) / USECS_PER_DAY;

	day = Min(day, 31);
	if (day != lane->failing_day)
		lane->failures_that_day = 0;
	lane->failing_day = day;
	if (++lane->failures_that_day >= SEVERAL_FAILURES)
		lane->failing_days |= 1u << day;
}

/* See lane_health.h. */
void
lane_failed(Lane *lane, const Flight *flight)
{
	Moment now = lane->dispatch->now;

	halve_allowed(lane);
	if (flight->started_at >= lane->held_at)
		break_hold_series(lane);
	if (flight->started_at < lane->turned_at)
		return;
	if (lane->failing_since == 0)
	{
		lane->failing_since = now;
		lane->failing_day = lane->failures_that_day = 0;
	}
	if (lane->failures++ == 0)
		lane->turned_at = now;
	if (!lane_breaker_open(lane))
		lane->probes = 0;
	else if (flight->probe || lane->probe_at <= now)
		lane->probe_at =
			clock_after_ms(now, lane_backoff(lane->probes++, MAX_PROBE_PAUSE_MS));
	count_failing_day(lane);
	if (now - lane->failing_since >= MAX_FAILING_MS * 1000 &&
		pg_popcount32(lane->failing_days) >= MIN_FAILING_DAYS)
		lane_leave(lane, "every delivery has failed for five days");
}

/* See lane_health.h. */
Moment
lane_held(Lane *lane, const Flight *flight, int64 hold_ms)
{
	Moment now = lane->dispatch->now;
	bool   parallel = flight->started_at < lane->held_at;
	Moment until;

	halve_allowed(lane);
	if (hold_ms < 0 && parallel)
		return now;
	if (hold_ms < 0)
		hold_ms = lane_backoff(lane->holds, CHANNEL_MAX_HOLD_MS);
	until = clock_after_ms(now, Min(hold_ms, CHANNEL_MAX_HOLD_MS));
	lane->hold_until = Max(lane->hold_until, until);
	if (parallel)
		return until;
	if (lane->held_since == 0)
		lane->held_since = now;
	lane->held_at = now;
	lane->holds++;
	return until;
}

/* See lane_health.h. */
bool
lane_hold_exhausted(const Lane *lane)
{
	return lane->held_since != 0 &&
		   lane->dispatch->now - lane->held_since > MAX_HOLD_SERIES_MS * 1000;
}

/* See lane_health.h. */
void
lane_count_latency(Lane *lane, int duration_ms)
{
	int bucket = 0;

	if (duration_ms < 0)
		return;
	while (bucket < LATENCY_BUCKETS - 1 && duration_ms > latency_bounds[bucket])
		bucket++;
	lane->latency[bucket]++;
	lane->latency_sum += duration_ms;
}

/* ------------------------------------------------------------------------
 * Becoming inactive
 * ------------------------------------------------------------------------ */

/* See lane_health.h. */
void
lane_leave(Lane *lane, const char *reason)
{
	if (lane->state != LANE_ACTIVE)
		return;
	lane->state = LANE_LEAVING;
	lane_set_text(lane, &lane->gone_reason, reason);
	if (!lane->gone_listed && !lane->gone_timer.armed)
		dlist_push_tail(&lane->dispatch->gone, &lane->gone_node);
	lane->gone_listed = !lane->gone_timer.armed;
}

/* See lane_health.h. */
void
lane_stay(Lane *lane)
{
	timer_disarm(lane->dispatch, &lane->gone_timer);
	if (lane->gone_listed)
		dlist_delete(&lane->gone_node);
	lane->gone_listed = false;
}

/* See lane_health.h. */
bool
lane_next_gone(const Dispatch *dispatch, GoneLane *gone)
{
	Lane *lane;

	if (dlist_is_empty((dlist_head *) &dispatch->gone))
		return false;
	lane = dlist_head_element(Lane, gone_node, (dlist_head *) &dispatch->gone);
	gone->lane = lane;
	gone->integration_id = lane->id;
	gone->workspace_id = lane->workspace_id;
	gone->type = lane->type;
	gone->updated_at = lane->updated_at;
	gone->reason = lane->gone_reason;
	return true;
}

/* See lane_health.h. */
void
lane_deactivated(Lane *lane, Deactivation result)
{
	dlist_delete(&lane->gone_node);
	lane->gone_listed = false;
	if (result == DEACTIVATION_LOCKED)
		timer_arm(lane->dispatch, &lane->gone_timer,
				  clock_after_ms(lane->dispatch->now, LOCKED_MS));
}

/* ------------------------------------------------------------------------
 * What the table knows of it
 * ------------------------------------------------------------------------ */

/* See lane_health.h. */
void
lane_load_health(Lane *lane, const Integration *row)
{
	const Dispatch *dispatch = lane->dispatch;

	lane->failures = lane->saved_failures = row->failures;
	if (row->failures > 0)
		lane->allowed = 1;
	lane->failing_since = dispatch_moment(dispatch, row->failing_since, MAX_PAST_MS, 0);
	lane->failing_days = row->failing_days;
	lane->held_since = dispatch_moment(dispatch, row->held_since, MAX_PAST_MS, 0);
	lane->hold_until = dispatch_moment(dispatch, row->hold_until, 0, CHANNEL_MAX_HOLD_MS);
	lane->saved_hold = lane->hold_until;
	lane->response_ms = row->response_ms;
}

/* See lane_health.h. */
void
lane_list_dirty(Lane *lane)
{
	dlist_push_tail(&lane->dispatch->dirty, &lane->dirty_node);
	lane->dirty_listed = true;
}

/* See lane_health.h. */
void
lane_dirty(Lane *lane)
{
	Moment due = clock_after_ms(lane->saved_at, HEALTH_PERIOD_MS);
	bool   urgent = (lane->failures > 0) != (lane->saved_failures > 0) ||
				  lane_breaker_open(lane) != lane->told_failing ||
				  lane->hold_until != lane->saved_hold;

	if (lane->dirty_listed)
		return;
	if (lane->saved_at != 0 && due > lane->dispatch->now && !urgent)
	{
		timer_arm(lane->dispatch, &lane->health_timer, due);
		return;
	}
	timer_disarm(lane->dispatch, &lane->health_timer);
	lane_list_dirty(lane);
}

/* See lane_health.h. */
void
lane_list_gone(Lane *lane)
{
	dlist_push_tail(&lane->dispatch->gone, &lane->gone_node);
	lane->gone_listed = true;
}

/* See lane_health.h. */
void
lane_save_soon(Lane *lane)
{
	if (!lane->health_timer.armed)
		return;
	timer_disarm(lane->dispatch, &lane->health_timer);
	lane_list_dirty(lane);
}

/* See lane_health.h. */
bool
lane_health_is_due(const Dispatch *dispatch)
{
	return !dlist_is_empty((dlist_head *) &dispatch->dirty);
}

/* See lane_health.h. */
HealthChange *
lane_health_due(Dispatch *dispatch, int limit, int *count)
{
	HealthChange *changes;
	dlist_iter	  iter;

	*count = 0;
	if (dlist_is_empty(&dispatch->dirty))
		return NULL;
	changes = palloc0(limit * sizeof(HealthChange));
	dlist_foreach (iter, &dispatch->dirty)
	{
		Lane		 *lane = dlist_container(Lane, dirty_node, iter.cur);
		HealthChange *change;

		if (*count == limit)
			break;
		change = &changes[(*count)++];
		change->integration_id = lane->id;
		change->workspace_id = lane->workspace_id;
		change->type = lane->type;
		change->triggered_at = lane->triggered_at;
		change->failures = lane->failures;
		change->failing = lane_breaker_open(lane);
		change->failing_since = dispatch_time(dispatch, lane->failing_since);
		change->failing_days = lane->failing_days;
		change->held_since = dispatch_time(dispatch, lane->held_since);
		change->hold_until = dispatch_time(dispatch, lane->hold_until);
		change->response_ms = lane->response_ms;
		change->http_status = lane->last_status;
		change->error = lane->last_error;
		change->delivered = lane->delivered;
		change->failed = lane->failed;
		change->retried = lane->retried;
		memcpy(change->latency, lane->latency, sizeof(lane->latency));
		change->latency_sum = lane->latency_sum;
	}
	return changes;
}

/* See lane_health.h. */
void
lane_health_saved(Dispatch *dispatch, HealthChange *changes, int count)
{
	for (int i = 0; i < count; i++)
	{
		HealthChange *change = &changes[i];
		Lane		 *lane =
			hash_search(dispatch->lanes, &change->integration_id, HASH_FIND, NULL);

		if (lane == NULL)
			continue;
		Assert(lane->dirty_listed);
		dlist_delete(&lane->dirty_node);
		lane->dirty_listed = false;
		lane->saved_at = dispatch->now;
		if (!change->saved)
		{
			/* locked: in a second */
			timer_arm(dispatch, &lane->health_timer,
					  clock_after_ms(dispatch->now, HEALTH_PERIOD_MS));
			continue;
		}
		lane->saved_failures = change->failures;
		lane->told_failing = change->failing;
		lane->saved_hold = lane->hold_until;
		lane->triggered_at = 0;
		lane->delivered -= change->delivered;
		lane->failed -= change->failed;
		lane->retried -= change->retried;
		for (int b = 0; b < LATENCY_BUCKETS; b++)
			lane->latency[b] -= change->latency[b];
		lane->latency_sum -= change->latency_sum;
	}
}
