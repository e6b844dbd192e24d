/*
 * lane_health.c
 *		How a lane's endpoint fares: failures, holds, the breaker, and what of it
 *		is to be saved.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"

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

/* Failing for so long makes an integration inactive. */
#define MAX_FAILING_MS (INT64CONST(5) * 24 * 3600 * 1000)

/* ------------------------------------------------------------------------
 * Failures, holds, the breaker
 * ------------------------------------------------------------------------ */

/* See lane_health.h. */
bool
lane_breaker_open(const Lane *lane)
{
	return lane->failures >= BREAKER_FAILURES;
}

/* ±20 % of jitter (design 5). */
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
	lane->holds = 0;
	lane->failing_since = 0;
	lane->held_since = 0;
	lane->hold_until = 0;
	lane->blocked_until = 0;
}

/* See lane_health.h. */
void
lane_succeeded(Lane *lane, bool quick)
{
	lane->good = quick;
	lane_recover(lane);
	lane->triggered_at = lane->dispatch->now;
}

/* See lane_health.h. */
void
lane_refused(Lane *lane, bool quick)
{
	lane->good = quick;
	lane->failures = Max(lane->failures, 1);
	lane->holds = 0;
	lane->held_since = 0;
}

/* See lane_health.h. */
void
lane_failed(Lane *lane, bool probe)
{
	lane->good = false;
	lane->holds = 0;
	lane->held_since = 0;
	if (lane->failing_since == 0)
		lane->failing_since = lane->dispatch->now;
	lane->failures++;
	if (!lane_breaker_open(lane))
		lane->probes = 0;
	else if (probe || lane->blocked_until <= lane->dispatch->now)
		lane->blocked_until = TimestampTzPlusMilliseconds(
			lane->dispatch->now, lane_backoff(lane->probes++, MAX_PROBE_PAUSE_MS));
	if (lane->dispatch->now - lane->failing_since >= MAX_FAILING_MS * 1000)
		lane_leave(lane, "every delivery has failed for five days");
}

/* See lane_health.h. */
void
lane_held(Lane *lane, int64 hold_ms)
{
	if (hold_ms < 0)
		hold_ms = lane_backoff(lane->holds, CHANNEL_MAX_HOLD_MS);
	if (lane->held_since == 0)
		lane->held_since = lane->dispatch->now;
	lane->holds++;
	lane->hold_until = TimestampTzPlusMilliseconds(lane->dispatch->now,
												   Min(hold_ms, CHANNEL_MAX_HOLD_MS));
	lane->blocked_until = Max(lane->blocked_until, lane->hold_until);
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
	gone->updated_at = lane->updated_at;
	gone->reason = lane->gone_reason;
	return true;
}

/* See lane_health.h. */
void
lane_deactivated(Lane *lane, Deactivation result, TimestampTz now)
{
	dlist_delete(&lane->gone_node);
	lane->gone_listed = false;
	if (result == DEACTIVATION_LOCKED)
		timer_arm(lane->dispatch, &lane->gone_timer,
				  TimestampTzPlusMilliseconds(now, LOCKED_MS));
}

/* ------------------------------------------------------------------------
 * What the table knows of it
 * ------------------------------------------------------------------------ */

/* See lane_health.h. */
void
lane_load_health(Lane *lane, const Integration *row)
{
	lane->failures = lane->saved_failures = row->failures;
	lane->failing_since = row->failing_since;
	lane->held_since = row->held_since;
	lane->hold_until = lane->saved_hold_until = row->hold_until;
	lane->blocked_until = row->hold_until;
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
	TimestampTz due = TimestampTzPlusMilliseconds(lane->saved_at, HEALTH_PERIOD_MS);
	bool		urgent = (lane->failures > 0) != (lane->saved_failures > 0) ||
				  lane->hold_until != lane->saved_hold_until;

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
		change->triggered_at = lane->triggered_at;
		change->failures = lane->failures;
		change->failing_since = lane->failing_since;
		change->held_since = lane->held_since;
		change->hold_until = lane->hold_until;
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
lane_health_saved(Dispatch *dispatch, HealthChange *changes, int count, TimestampTz now)
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
		lane->saved_at = now;
		if (!change->saved)
		{
			/* locked: in a second */
			timer_arm(lane->dispatch, &lane->health_timer,
					  TimestampTzPlusMilliseconds(now, HEALTH_PERIOD_MS));
			continue;
		}
		lane->saved_failures = change->failures;
		lane->saved_hold_until = change->hold_until;
		lane->triggered_at = 0;
		lane->delivered -= change->delivered;
		lane->failed -= change->failed;
		lane->retried -= change->retried;
		for (int b = 0; b < LATENCY_BUCKETS; b++)
			lane->latency[b] -= change->latency[b];
		lane->latency_sum -= change->latency_sum;
	}
}
