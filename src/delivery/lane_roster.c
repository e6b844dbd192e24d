/*
 * lane_roster.c
 *		Which lanes there are: their beginning, their configuration, their end.
 */
#include "postgres.h"

#include "delivery/lane.h"
#include "delivery/lane_health.h"
#include "delivery/lane_roster.h"
#include "delivery/lane_window.h"

/* See lane_roster.h. */
Lane *
roster_lane(Dispatch *dispatch, const pg_uuid_t *integration_id)
{
	bool  found;
	Lane *lane = hash_search(dispatch->lanes, integration_id, HASH_ENTER, &found);

	if (!found)
		lane_init(lane, dispatch);
	return lane;
}

/* ------------------------------------------------------------------------
 * Opening and closing
 * ------------------------------------------------------------------------ */

/* What it has pending is to be cancelled. */
static void
lane_close(Lane *lane, const char *reason)
{
	lane_stay(lane);
	window_empty(lane);
	/* its last counts are to be saved before its health is removed */
	lane_save_soon(lane);
	if (lane->state != LANE_CLOSING)
		dlist_push_tail(&lane->dispatch->closing, &lane->closing_node);
	lane->state = LANE_CLOSING;
	lane_set_text(lane, &lane->closing_reason, reason);
	lane_update(lane);
}

/* A lane that may send: all it has pending is unread. */
static void
lane_open(Lane *lane)
{
	lane_stay(lane);
	if (lane->state == LANE_CLOSING)
		dlist_delete(&lane->closing_node);
	lane->state = LANE_ACTIVE;
	window_rewind(lane, 0);
	lane_update(lane);
}

/* Frees what the lane points to. */
static void
lane_free_texts(Lane *lane)
{
	char **texts[] = { &lane->closing_reason, &lane->workspace_id,
					   &lane->type,			  &lane->url,
					   &lane->secret,		  &lane->previous_secret,
					   &lane->last_error,	  &lane->gone_reason };

	for (int i = 0; i < lengthof(texts); i++)
		lane_set_text(lane, texts[i], NULL);
}

/* Forgets a lane of which nothing is left. */
static void
lane_free(Lane *lane)
{
	Assert(lane->state == LANE_CLOSED && !lane->exists && lane->in_memory == 0);
	Assert(lane->in_flight == 0 && dlist_is_empty(&lane->runnable));
	window_forget(lane);
	timer_disarm(lane->dispatch, &lane->timer);
	timer_disarm(lane->dispatch, &lane->health_timer);
	lane_stay(lane);
	if (lane->dirty_listed)
		dlist_delete(&lane->dirty_node);
	if (lane->wants_rows)
		dlist_delete(&lane->wants_rows_node);
	lane_unlist(lane);
	lane_free_texts(lane);
	hash_search(lane->dispatch->lanes, &lane->id, HASH_REMOVE, NULL);
}

/* See lane_roster.h. */
void
roster_forget(Lane *lane)
{
	if (!lane->exists && lane->state == LANE_CLOSED && lane->in_memory == 0)
		lane_free(lane);
}

/* See lane_roster.h. */
void
roster_close_again(Lane *lane)
{
	if (lane->state == LANE_CLOSED)
		lane_close(lane, lane->closing_reason ? lane->closing_reason
											  : "the integration was disconnected");
}

/* See lane_roster.h. */
bool
roster_next_closing(const Dispatch *dispatch, ClosingLane *closing)
{
	Lane *lane;

	if (dlist_is_empty((dlist_head *) &dispatch->closing))
		return false;
	lane = dlist_head_element(Lane, closing_node, (dlist_head *) &dispatch->closing);
	closing->lane = lane;
	closing->integration_id = lane->id;
	closing->reason = lane->closing_reason;
	return true;
}

/* See lane_roster.h. */
void
roster_cancelled(Lane *lane, int count, int limit)
{
	Assert(lane->state == LANE_CLOSING);
	dlist_delete(&lane->closing_node);
	if (count == limit)
	{
		/* the others' turn first */
		dlist_push_tail(&lane->dispatch->closing, &lane->closing_node);
		return;
	}
	lane->state = LANE_CLOSED;
	roster_forget(lane);
}

/* See lane_roster.h. */
Delivery *
roster_next_abort(Dispatch *dispatch)
{
	Delivery *delivery;

	if (dlist_is_empty(&dispatch->aborts))
		return NULL;
	delivery = dlist_container(Delivery, node, dlist_pop_head_node(&dispatch->aborts));
	delivery_done(delivery);
	return delivery;
}

/* ------------------------------------------------------------------------
 * Configuration
 * ------------------------------------------------------------------------ */

/* Takes over what an integration's row says. */
static void
lane_configure(Lane *lane, const Integration *row, bool is_new)
{
	bool		reconnected = !is_new && lane->updated_at != row->updated_at;
	const char *reason = NULL;

	lane_set_text(lane, &lane->workspace_id, row->workspace_id);
	lane_set_text(lane, &lane->type, row->type);
	if (lane->url && row->webhook_url && strcmp(lane->url, row->webhook_url) != 0)
	{
		/* another endpoint, of which nothing is known */
		lane->response_ms = -1;
		lane->allowed = LANE_MAX_ALLOWED;
	}
	lane_set_text(lane, &lane->url, row->webhook_url);
	lane_set_text(lane, &lane->secret, row->secret);
	lane_set_text(lane, &lane->previous_secret, row->previous_secret);
	lane->previous_secret_until = row->previous_secret_until;
	lane->updated_at = row->updated_at;
	lane->channel = channel_find(row->type);
	lane->exists = true;

	lane->told_failing = row->told_failing;
	if (is_new)
		lane_load_health(lane, row);
	else if (reconnected || row->failures < lane->saved_failures ||
			 (lane->saved_hold != 0 && row->hold_until == 0))
	{
		/* connected again, or somebody has tested it with success */
		lane_recover(lane);
		window_hurry(lane);
		lane->saved_failures = 0;
		lane->saved_hold = 0;
		if (reconnected)
			lane_dirty(lane);
	}
	if (row->is_ours && lane_breaker_open(lane) != lane->told_failing)
		lane_dirty(lane);

	if (!row->is_ours)
		reason = "the integration came with a restored or copied database";
	else if (!row->is_active)
		reason =
			row->inactive_reason ? row->inactive_reason : "the integration is inactive";
	else if (lane->channel == NULL)
		reason = "the integration's type is not known";

	if (reason && (lane->state == LANE_ACTIVE || lane->state == LANE_LEAVING || is_new))
		lane_close(lane, reason);
	else if (!reason && (lane->state == LANE_CLOSING || lane->state == LANE_CLOSED ||
						 (lane->state == LANE_LEAVING && reconnected)))
		lane_open(lane);
	else
		lane_update(lane);
}

/* Takes over an integration that there is. */
static void
take_integration(Dispatch *dispatch, const Integration *row)
{
	Lane *lane = roster_lane(dispatch, &row->id);

	lane->seen = true;
	lane_configure(lane, row, lane->workspace_id == NULL);
}

/* The integration of a lane is not there any more. */
static void
lane_gone(Lane *lane)
{
	if (lane->exists)
	{
		lane->exists = false;
		lane_close(lane, "the integration was disconnected");
	}
	else
		roster_forget(lane);
}

/* See lane_roster.h. */
void
roster_take_gone(Dispatch *dispatch, const pg_uuid_t *id)
{
	Lane *lane = roster_lane(dispatch, id);

	if (lane->exists)
		lane_gone(lane);
	else
		roster_close_again(lane);
}

/* See lane_roster.h. */
void
roster_take(Dispatch *dispatch, const Integrations *integrations)
{
	HASH_SEQ_STATUS sequence;
	Lane		   *lane;

	hash_seq_init(&sequence, dispatch->lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		lane->seen = false;
	for (int i = 0; i < integrations->count; i++)
		take_integration(dispatch, &integrations->rows[i]);
	hash_seq_init(&sequence, dispatch->lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		if (!lane->seen)
			lane_gone(lane);
}

/* See lane_roster.h. */
void
roster_take_changed(Dispatch *dispatch, const Integrations *integrations,
					const pg_uuid_t *ids, int count)
{
	Lane *lane;

	for (int i = 0; i < count; i++)
		if ((lane = hash_search(dispatch->lanes, &ids[i], HASH_FIND, NULL)) != NULL)
			lane->seen = false;
	for (int i = 0; i < integrations->count; i++)
		take_integration(dispatch, &integrations->rows[i]);
	for (int i = 0; i < count; i++)
	{
		lane = hash_search(dispatch->lanes, &ids[i], HASH_FIND, NULL);
		if (lane == NULL || !lane->seen)
			roster_take_gone(dispatch, &ids[i]);
	}
}
