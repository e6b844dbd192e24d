/*
 * lane.c
 *		Lanes, their timers, and how they share what can be in flight.
 *
 * A lane is trusted if its last attempt succeeded within a second and no request
 * of it has been in flight for longer; else it is new (never tried) or suspect.
 * New and suspect lanes together get half of max_in_flight, suspect ones half of
 * that; a new lane has one request until it has answered.  The upper half goes
 * only to trusted lanes that have nothing in flight.  So endpoints that answer
 * slowly or not at all, be they one or a thousand, leave half of the capacity to
 * the others, and cannot keep a new one from being tried.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/settings.h"
#include "delivery/lane.h"
#include "delivery/lane_health.h"
#include "delivery/lane_window.h"

/* See lane.h. */
void
lane_init(Lane *lane, Dispatch *dispatch)
{
	memset((char *) lane + sizeof(pg_uuid_t), 0, sizeof(Lane) - sizeof(pg_uuid_t));
	lane->dispatch = dispatch;
	lane->state = LANE_CLOSED;
	lane->complete = true;
	lane->class = CLASS_NEW;
	lane->ready_list = NOT_READY;
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
 * Timers
 * ------------------------------------------------------------------------ */

/* See lane.h. */
int
timer_compare(const pairingheap_node *a, const pairingheap_node *b, void *unused)
{
	TimestampTz x = pairingheap_const_container(Timer, node, a)->at;
	TimestampTz y = pairingheap_const_container(Timer, node, b)->at;

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
timer_arm(Dispatch *dispatch, Timer *timer, TimestampTz at)
{
	if (timer->armed && timer->at == at)
		return;
	timer_disarm(dispatch, timer);
	timer->at = at;
	timer->armed = true;
	pairingheap_add(dispatch->timers, &timer->node);
}

/* ------------------------------------------------------------------------
 * Sharing the capacity
 * ------------------------------------------------------------------------ */

/* Half of what can be in flight. */
static int
half_of_capacity(void)
{
	return Max(setting_max_in_flight / 2, 1);
}

/* See lane.h. */
void
lane_count_in_flight(Lane *lane, int requests)
{
	Dispatch *dispatch = lane->dispatch;

	dispatch->in_flight += requests;
	if (lane->class != CLASS_TRUSTED)
		dispatch->doubtful_in_flight += requests;
	if (lane->class == CLASS_SUSPECT)
		dispatch->suspect_in_flight += requests;
	Assert(0 <= dispatch->suspect_in_flight &&
		   dispatch->suspect_in_flight <= dispatch->doubtful_in_flight &&
		   dispatch->doubtful_in_flight <= dispatch->in_flight);
}

/* Decides anew how far the lane is trusted. */
static void
lane_classify(Lane *lane)
{
	LaneClass class = lane->n_slow > 0 ? CLASS_SUSPECT
					  : !lane->tried   ? CLASS_NEW
					  : lane->good	   ? CLASS_TRUSTED
									   : CLASS_SUSPECT;

	if (class == lane->class)
		return;
	lane_count_in_flight(lane, -lane->in_flight);
	lane->class = class;
	lane_count_in_flight(lane, lane->in_flight);
}

/* See lane.h. */
int
lane_limit(const Lane *lane)
{
	if (!lane->tried || lane->paced || lane_breaker_open(lane))
		return 1;
	return Min(setting_max_in_flight_per_integration, half_of_capacity());
}

/* The list a lane belongs to now. */
static ReadyList
lane_ready_list(const Lane *lane)
{
	if (lane->state != LANE_ACTIVE || dlist_is_empty((dlist_head *) &lane->runnable) ||
		lane->blocked_until > lane->dispatch->now || lane->in_flight >= lane_limit(lane))
		return NOT_READY;
	switch (lane->class)
	{
		case CLASS_TRUSTED:
			return lane->in_flight == 0 ? READY_IDLE : READY_BUSY;
		case CLASS_NEW:
			return READY_NEW;
		case CLASS_SUSPECT:
			break;
	}
	return READY_SUSPECT;
}

/* See lane.h. */
bool
capacity_free(const Dispatch *dispatch, ReadyList list)
{
	int half = half_of_capacity();

	if (dispatch->in_flight >= setting_max_in_flight)
		return false;
	switch (list)
	{
		case READY_IDLE:
			return true;
		case READY_BUSY:
			return dispatch->in_flight < half;
		case READY_NEW:
			return dispatch->doubtful_in_flight < half;
		default:
			return dispatch->doubtful_in_flight < half &&
				   dispatch->suspect_in_flight < Max(half / 2, 1);
	}
}

/* See lane.h. */
void
capacity_age_requests(Dispatch *dispatch)
{
	TimestampTz limit = dispatch->now - SLOW_MS * INT64CONST(1000);

	while (!dlist_is_empty(&dispatch->recent))
	{
		Delivery *delivery = dlist_head_element(Delivery, recent_node, &dispatch->recent);
		Lane	 *lane = delivery->key.lane;

		if (delivery->started_at > limit)
			break;
		dlist_delete(&delivery->recent_node);
		delivery->slow = true;
		lane->n_slow++;
		lane_update(lane);
	}
}

/* ------------------------------------------------------------------------
 * The lists
 * ------------------------------------------------------------------------ */

/* Puts the lane into the list of those that could send, or takes it out. */
static void
lane_update_ready(Lane *lane)
{
	ReadyList list = lane_ready_list(lane);

	if (list == lane->ready_list)
		return;
	if (lane->ready_list != NOT_READY)
		dlist_delete(&lane->ready_node);
	if (list != NOT_READY)
		dlist_push_tail(&lane->dispatch->ready[list], &lane->ready_node);
	lane->ready_list = list;
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
	Assert(lane->position <= lane->frontier);
	Assert(0 <= lane->loaded && lane->loaded <= lane->in_memory);
	lane_classify(lane);
	lane_update_ready(lane);
	if (lane->blocked_until > lane->dispatch->now)
		timer_arm(lane->dispatch, &lane->timer, lane->blocked_until);
	else
		timer_disarm(lane->dispatch, &lane->timer);
	lane_update_wants_rows(lane);
}
