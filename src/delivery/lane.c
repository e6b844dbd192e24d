/*
 * lane.c
 *		Lanes, their timers, and how they share what can be in flight.
 *
 * What can be in flight (max_in_flight) is shared by how long a request holds its
 * place.  Each lane has a tier, after how long its latest answers took and how old
 * its requests in flight are.  The tiers' bounds are nested: of every tier and those
 * slower than it so many can be in flight, fewer for the slower ones, so that each
 * tier has places which only requests as short as its own can hold: they are free
 * again after that time.  And a part of each bound is out of reach for lanes with a
 * backlog, however many there are: a lane with little pending finds a place at once,
 * or after one turn of a place of its own tier.  docs/reliability.md tells what follows
 * from that; test/simulation shows it.
 *
 * A lane that was never tried has one request until it has answered.  A failure halves
 * what it may have, a success adds one.  A single long answer does not make a lane a
 * hanging one (lane_expect()), so that a hiccup is no banishment.  When many that were
 * quick hang all at once, those that have not answered since are doubted.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/settings.h"
#include "delivery/lane.h"
#include "delivery/lane_health.h"
#include "delivery/lane_window.h"

/* The ages that requests pass (ms); also the longest answers of TIER_FAST to SLOW. */
static const int age_ms[AGES] = { 0, 100, 500, 1000, 2500 };

/* The tier of a lane whose oldest request is of this age. */
static const Tier age_tier[AGES] = { TIER_FAST, TIER_MEDIUM, TIER_UNHURRIED, TIER_SLOW,
									 TIER_HANGING };

/* Eighths of max_in_flight for each tier together with those slower than it. */
static const int tier_eighths[TIERS] = { 8, 7, 6, 5, 3, 2 };

/* The part of each bound that lanes with a backlog leave to the others. */
#define LIGHT_PART 16

/*
 * When more than this part of all places is held by requests that take longer than was to
 * be expected, lanes are doubted that may be the next.
 */
#define SURPRISED_PART 16

/* The least age that surprises (1 s): no hiccup, but something that may hang. */
#define SURPRISING_AGE 3

/*
 * Nobody is doubted anew more often than this (ms): where all is slow, on account of this
 * machine for instance, surprises do not end.
 */
#define DOUBT_PERIOD_MS 20000

/* Lanes where at most so many deliveries wait, besides those in flight, are light. */
#define LIGHT_LANE 4

/* Of what a tier can hold so much can start at once: see tier_pace(). */
#define BURST_PART 8

/* One in so many turns goes to a lane with a backlog, even if a light one waits. */
#define BACKLOG_TURN 4

/* What a long answer adds to what is expected at most, and how much a short one leaves. */
#define EXPECT_RISE 16
#define EXPECT_FALL 4

/* See lane.h. */
void
lane_init(Lane *lane, Dispatch *dispatch)
{
	memset((char *) lane + sizeof(pg_uuid_t), 0, sizeof(Lane) - sizeof(pg_uuid_t));
	lane->dispatch = dispatch;
	lane->state = LANE_CLOSED;
	lane->complete = true;
	lane->tier = TIER_NEW;
	lane->response_ms = -1;
	lane->allowed = LANE_MAX_ALLOWED;
	dlist_init(&lane->posts);
	dlist_init(&lane->runnable);
	lane->timer.kind = TIMER_LANE;
	lane->health_timer.kind = TIMER_HEALTH;
	lane->gone_timer.kind = TIMER_GONE;
}

/* See lane.h. */
void
lane_set_text(Lane *lane, char **target, const char *value)
{
	char *old = *target;

	if (old && value && strcmp(old, value) == 0)
		return;
	*target = value ? MemoryContextStrdup(lane->dispatch->context, value) : NULL;
	if (old)
		pfree(old);
}

/* ------------------------------------------------------------------------
 * Time
 * ------------------------------------------------------------------------ */

/* See lane.h. */
Moment
dispatch_moment(const Dispatch *dispatch, TimestampTz time, int64 past_ms,
				int64 future_ms)
{
	int64  from_now = time - dispatch->time;
	Moment moment;

	if (time == 0)
		return 0;
	moment = dispatch->now + Max(Min(from_now, future_ms * 1000), -past_ms * 1000);
	return moment == 0 ? 1 : moment;
}

/* See lane.h. */
TimestampTz
dispatch_time(const Dispatch *dispatch, Moment moment)
{
	return moment == 0 ? 0 : dispatch->time + (moment - dispatch->now);
}

/* See lane.h. */
int
timer_compare(const pairingheap_node *a, const pairingheap_node *b, void *unused)
{
	Moment x = pairingheap_const_container(Timer, node, a)->at;
	Moment y = pairingheap_const_container(Timer, node, b)->at;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* See lane.h. */
void
timer_disarm(Dispatch *dispatch, Timer *timer)
{
	if (timer->armed)
		pairingheap_remove(dispatch->timers, &timer->node);
	timer->armed = false;
}

/* See lane.h. */
void
timer_arm(Dispatch *dispatch, Timer *timer, Moment at)
{
	if (timer->armed && timer->at == at)
		return;
	timer_disarm(dispatch, timer);
	timer->at = at;
	timer->armed = true;
	pairingheap_add(dispatch->timers, &timer->node);
}

/* ------------------------------------------------------------------------
 * Tiers
 * ------------------------------------------------------------------------ */

/* The age that requests of the lane are expected to reach; all of one never tried. */
static int
expected_age(const Lane *lane)
{
	int age = 0;

	if (lane->response_ms < 0)
		return AGES - 1;
	while (age < AGES - 1 && lane->response_ms > age_ms[age + 1])
		age++;
	return age;
}

/*
 * When many requests take longer than was to be expected, all of a sudden, nobody knows
 * whose will be next.  Who has answered since about when these started is fine; the others
 * are doubted, and count as never tried until they answer.
 */
static bool
lane_doubted(const Lane *lane)
{
	return lane->answered_at < lane->dispatch->doubt_since;
}

/* The tier that a lane belongs to. */
static Tier
lane_tier(const Lane *lane)
{
	Tier expected = lane_doubted(lane) ? TIER_NEW : age_tier[0];
	int	 age = AGES - 1;

	while (age > 0 && lane->aged[age] == 0)
		age--;
	if (lane->response_ms >= 0)
		return Max(Max(expected, age_tier[expected_age(lane)]), age_tier[age]);
	return Max(TIER_NEW, age_tier[age]);
}

/* Decides anew where the lane and its requests in flight belong. */
static void
lane_classify(Lane *lane)
{
	Dispatch *dispatch = lane->dispatch;
	Tier	  tier = lane_tier(lane);

	dispatch->tier_in_flight[lane->tier] -= lane->in_flight;
	dispatch->tier_in_flight[tier] += lane->in_flight;
	lane->tier = tier;
}

/* Notes how long an answer took: what is to be expected of the lane. */
static void
lane_expect(Lane *lane, int64 ms)
{
	int64 expected = lane->response_ms;

	/* what ended with the time-out, however short that is, has hung */
	if (ms >= setting_request_timeout)
		ms = Max(ms, age_ms[AGES - 1] + 1);
	if (expected < 0)
		expected = ms;
	else if (ms > expected)
		expected =
			lane_doubted(lane) ? ms : Min(ms, EXPECT_RISE * Max(expected, age_ms[1]));
	else
		expected = Max(ms, expected / EXPECT_FALL);
	lane->response_ms = Min(expected, PG_INT32_MAX);
}

/* See lane.h. */
void
lane_answered(Lane *lane, const Flight *flight)
{
	if (!flight->surprises)
		lane->answered_at = lane->dispatch->now;
	lane_expect(lane, (lane->dispatch->now - flight->started_at) / 1000);
}

/* See lane.h. */
int
lane_limit(const Lane *lane)
{
	if (lane->response_ms < 0 || lane->paced || lane_breaker_open(lane) ||
		lane_doubted(lane))
		return 1;
	return Min(lane->allowed, Min(setting_max_in_flight_per_integration,
								  Max(setting_max_in_flight / 2, 1)));
}

/* See lane.h. */
void
lane_begin_request(Lane *lane, Delivery *delivery, bool probe)
{
	Dispatch *dispatch = lane->dispatch;
	Flight	 *flight = MemoryContextAllocZero(dispatch->context, sizeof(Flight));

	flight->delivery = delivery;
	flight->probe = probe;
	flight->started_at = dispatch->now;
	flight->connected_at = lane->updated_at;
	dlist_init(&flight->merged);
	dlist_push_tail(&dispatch->flights[0], &flight->node);
	delivery->flight = flight;
	delivery->state = DELIVERY_IN_FLIGHT;
	delivery->tried = true;
	delivery->post->in_flight = delivery;
	lane->aged[0]++;
	lane->in_flight++;
	dispatch->in_flight++;
	dispatch->tier_in_flight[lane->tier]++;
}

/* A request is over that surprised, or this is known by now. */
static void
surprise_is_over(Dispatch *dispatch, Flight *flight)
{
	if (flight->surprises_anew)
	{
		dlist_delete(&flight->surprise_node);
		dispatch->n_new_surprises--;
	}
	flight->surprises_anew = false;
}

/* See lane.h. */
Flight *
lane_end_request(Delivery *delivery)
{
	Lane	 *lane = delivery->key.lane;
	Dispatch *dispatch = lane->dispatch;
	Flight	 *flight = delivery->flight;

	Assert(delivery->state == DELIVERY_IN_FLIGHT &&
		   delivery->post->in_flight == delivery);
	dlist_delete(&flight->node);
	surprise_is_over(dispatch, flight);
	dispatch->n_surprises -= flight->surprises;
	delivery->flight = NULL;
	delivery->post->in_flight = NULL;
	lane->aged[flight->age]--;
	lane->in_flight--;
	dispatch->in_flight--;
	dispatch->tier_in_flight[lane->tier]--;
	return flight;
}

/* ------------------------------------------------------------------------
 * Sharing the capacity
 * ------------------------------------------------------------------------ */

/* How many requests of this tier and those slower can be in flight. */
static int
tier_bound(int tier, Load load)
{
	int light = load == LOAD_LIGHT ? 0 : setting_max_in_flight / LIGHT_PART;

	return Max(setting_max_in_flight * tier_eighths[tier] / 8 - light, 1);
}

/*
 * Least time between two starts of a tier (us), as many as it can hold in the time that
 * one of them takes at least.  It keeps lanes with a backlog from starting all at once, after
 * a restart above all: their places would be taken together, and be free together.
 */
static int64
tier_pace(int tier)
{
	int age = AGES - 1;

	while (age > 0 && age_tier[age] != tier)
		age--;
	return age_ms[age] * INT64CONST(1000) / tier_bound(tier, LOAD_BACKLOG);
}

/* From when on a lane with a backlog of this tier may start. */
static Moment
tier_starts_at(const Dispatch *dispatch, int tier)
{
	return dispatch->paced_until[tier] -
		   tier_pace(tier) * tier_bound(tier, LOAD_BACKLOG) / BURST_PART;
}

/* A lane with a backlog starts. */
static void
tier_start(Dispatch *dispatch, int tier)
{
	int64 pace = tier_pace(tier);

	if (pace == 0)
		return;
	dispatch->paced_until[tier] = Max(dispatch->paced_until[tier], dispatch->now) + pace;
	timer_arm(dispatch, &dispatch->tier_timers[tier], tier_starts_at(dispatch, tier));
}

/* True if there is a place for a lane of this tier and load. */
static bool
capacity_free(const Dispatch *dispatch, Tier tier, Load load)
{
	int in_flight = 0;

	if (load == LOAD_BACKLOG && tier_starts_at(dispatch, tier) > dispatch->now)
		return false;
	for (int t = TIERS - 1; t >= 0; t--)
	{
		in_flight += dispatch->tier_in_flight[t];
		if (t <= (int) tier && in_flight >= tier_bound(t, load))
			return false;
	}
	Assert(in_flight == dispatch->in_flight);
	return true;
}

/* The lane of this load whose turn it is: the tiers take turns. */
static Lane *
next_of_load(const Dispatch *dispatch, Load load)
{
	for (int i = 0; i < TIERS; i++)
	{
		int			tier = (dispatch->next_tier[load] + i) % TIERS;
		dlist_head *list = (dlist_head *) &dispatch->ready[tier][load];

		if (dlist_is_empty(list) || !capacity_free(dispatch, tier, load))
			continue;
		if (tier == TIER_NEW && dispatch->newest)
			return dlist_tail_element(Lane, ready_node, list);
		return dlist_head_element(Lane, ready_node, list);
	}
	return NULL;
}

/* See lane.h. */
Lane *
capacity_peek(const Dispatch *dispatch)
{
	Load  first = dispatch->turn == 0 ? LOAD_BACKLOG : LOAD_LIGHT;
	Lane *lane = next_of_load(dispatch, first);

	return lane ? lane : next_of_load(dispatch, LOADS - 1 - first);
}

/* See lane.h. */
Lane *
capacity_next(Dispatch *dispatch)
{
	Lane *lane;

	/* one that is doubted by now belongs elsewhere */
	while ((lane = capacity_peek(dispatch)) != NULL &&
		   (lane_tier(lane) != lane->ready_tier || lane->in_flight >= lane_limit(lane)))
		lane_update(lane);
	if (lane == NULL)
		return NULL;
	dispatch->next_tier[lane->ready_load] = (lane->ready_tier + 1) % TIERS;
	dispatch->newest ^= lane->ready_tier == TIER_NEW;
	if (lane->ready_load == LOAD_BACKLOG)
		tier_start(dispatch, lane->ready_tier);
	dispatch->turn = (dispatch->turn + 1) % BACKLOG_TURN;
	return lane;
}

/* Begins to doubt, since about when those requests started. */
static void
begin_doubt(Dispatch *dispatch)
{
	int middle = dispatch->n_new_surprises / 2;

	dispatch->doubted_at = dispatch->now;
	while (!dlist_is_empty(&dispatch->new_surprises))
	{
		Flight *flight =
			dlist_head_element(Flight, surprise_node, &dispatch->new_surprises);

		if (middle-- == 0)
			dispatch->doubt_since = flight->started_at;
		surprise_is_over(dispatch, flight);
	}
}

/* Nothing surprises any more.  Lanes were doubted when it was their turn: see capacity_next(). */
static void
end_doubt(Dispatch *dispatch)
{
	dispatch->doubt_since = 0;
	for (int load = 0; load < LOADS; load++)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify (iter, &dispatch->ready[TIER_NEW][load])
			lane_update(dlist_container(Lane, ready_node, iter.cur));
	}
}

/* A request has reached an age. */
static void
flight_ages(Flight *flight, int age)
{
	Lane	 *lane = flight->delivery->key.lane;
	Dispatch *dispatch = lane->dispatch;

	dlist_delete(&flight->node);
	dlist_push_tail(&dispatch->flights[age], &flight->node);
	flight->age = age;
	lane->aged[age - 1]--;
	lane->aged[age]++;
	if (!flight->surprises && age >= SURPRISING_AGE &&
		age >= Min(expected_age(lane) + 2, AGES - 1) && age > expected_age(lane))
	{
		flight->surprises = true;
		dispatch->n_surprises++;
		flight->surprises_anew = !lane_doubted(lane);
		if (flight->surprises_anew)
		{
			dlist_push_tail(&dispatch->new_surprises, &flight->surprise_node);
			dispatch->n_new_surprises++;
		}
	}
	lane_update(lane);
}

/* See lane.h. */
void
capacity_age_requests(Dispatch *dispatch)
{
	for (int age = 1; age < AGES; age++)
	{
		dlist_head *list = &dispatch->flights[age - 1];
		Moment		limit = clock_after_ms(dispatch->now, -age_ms[age]);

		while (!dlist_is_empty(list))
		{
			Flight *flight = dlist_head_element(Flight, node, list);

			if (flight->started_at > limit)
				break;
			flight_ages(flight, age);
		}
	}
	if (dispatch->n_new_surprises > setting_max_in_flight / SURPRISED_PART &&
		(dispatch->doubted_at == 0 ||
		 dispatch->now >= clock_after_ms(dispatch->doubted_at, DOUBT_PERIOD_MS)))
		begin_doubt(dispatch);
	else if (dispatch->doubt_since != 0 && dispatch->n_surprises == 0)
		end_doubt(dispatch);
}

/* ------------------------------------------------------------------------
 * The lists
 * ------------------------------------------------------------------------ */

/* See lane.h. */
Moment
lane_blocked_until(const Lane *lane)
{
	return Max(
		Max(lane->pace_until, lane->probe_at),
		Max(lane->hold_until, dispatch_channel_hold(lane->dispatch, lane->channel)));
}

/* See lane.h. */
void
lane_unlist(Lane *lane)
{
	if (lane->listed)
		dlist_delete(&lane->ready_node);
	lane->listed = false;
}

/* Puts the lane into the list of those that could send, or takes it out. */
static void
lane_update_ready(Lane *lane, bool blocked)
{
	bool ready = lane->state == LANE_ACTIVE && !dlist_is_empty(&lane->runnable) &&
				 !blocked && lane->in_flight < lane_limit(lane);
	Load load = lane->complete && lane->loaded - lane->in_flight <= LIGHT_LANE
					? LOAD_LIGHT
					: LOAD_BACKLOG;

	if (ready && lane->listed && lane->ready_tier == lane->tier &&
		lane->ready_load == load)
		return;
	lane_unlist(lane);
	if (!ready)
		return;
	dlist_push_tail(&lane->dispatch->ready[lane->tier][load], &lane->ready_node);
	lane->ready_tier = lane->tier;
	lane->ready_load = load;
	lane->listed = true;
}

/* Likewise of those that want rows. */
static void
lane_update_wants_rows(Lane *lane)
{
	bool wants_rows = window_wants_rows(lane);

	if (wants_rows == lane->wants_rows)
		return;
	if (wants_rows)
		dlist_push_tail(&lane->dispatch->wants_rows, &lane->wants_rows_node);
	else
		dlist_delete(&lane->wants_rows_node);
	lane->wants_rows = wants_rows;
}

/* See lane.h. */
void
lane_update(Lane *lane)
{
	Moment blocked_until = lane_blocked_until(lane);
	bool   blocked = blocked_until > lane->dispatch->now;

	Assert(lane->position <= lane->frontier);
	Assert(0 <= lane->loaded && lane->loaded <= lane->in_memory);
	lane_classify(lane);
	lane_update_ready(lane, blocked);
	if (blocked)
		timer_arm(lane->dispatch, &lane->timer, blocked_until);
	else
		timer_disarm(lane->dispatch, &lane->timer);
	lane_update_wants_rows(lane);
}
