/*
 * lane_window.c
 *		What of a lane's pending rows is in memory.
 *
 * position: every pending row up to this id is in memory.  frontier: rows between
 * position and frontier have been looked at too; those not in memory belong to
 * posts that have earlier rows in memory (such a post is marked skipped), so none
 * of them could be sent yet.  Only when a window is full of rows that must wait
 * does the frontier run ahead of the position.  If a skipped post runs out of
 * rows, the frontier falls back to the position.
 */
#include "postgres.h"

#include "base/settings.h"
#include "delivery/lane.h"
#include "delivery/lane_roster.h"
#include "delivery/lane_window.h"

/*
 * Deliveries in memory, over all lanes, and bounds of one lane's window: some 250
 * bytes each, so that 10,000 lanes with backlogs take 20 MB (test/simulation).
 */
#define MAX_LOADED 32768
#define MAX_WINDOW 1024
#define MIN_WINDOW 4

/* Rows read at once while looking beyond a full window. */
#define LOOK_AHEAD 1000

/* ------------------------------------------------------------------------
 * Posts and deliveries
 * ------------------------------------------------------------------------ */

/* Does away with a post that has nothing left in memory. */
static void
post_remove(Post *post)
{
	Lane *lane = post->key.lane;

	Assert(post->in_flight == NULL && dlist_is_empty(&post->waiting));
	timer_disarm(lane->dispatch, &post->timer);
	if (post->runnable)
		dlist_delete(&post->node);
	if (post->skipped && !lane->complete)
	{
		lane->frontier = lane->position;
		lane->scanned = false;
	}
	dlist_delete(&post->lane_node);
	hash_search(lane->dispatch->posts, &post->key, HASH_REMOVE, NULL);
}

/* See lane_window.h. */
void
post_update(Post *post)
{
	Lane	 *lane = post->key.lane;
	Delivery *first;
	bool	  runnable = false;

	if (post->in_flight == NULL && dlist_is_empty(&post->waiting))
	{
		post_remove(post);
		return;
	}
	if (post->in_flight)
		timer_disarm(lane->dispatch, &post->timer);
	else
	{
		first = dlist_head_element(Delivery, node, &post->waiting);
		if (first->next_attempt_at > lane->dispatch->now)
			timer_arm(lane->dispatch, &post->timer, first->next_attempt_at);
		else
		{
			timer_disarm(lane->dispatch, &post->timer);
			runnable = true;
		}
	}
	if (runnable && !post->runnable)
		dlist_push_tail(&lane->runnable, &post->node);
	else if (!runnable && post->runnable)
		dlist_delete(&post->node);
	post->runnable = runnable;
}

/* The post of a lane, if it has deliveries in memory; or NULL. */
static Post *
post_find(Lane *lane, uint64 hash)
{
	PostKey key = { lane, hash };

	return hash_search(lane->dispatch->posts, &key, HASH_FIND, NULL);
}

/* See lane_window.h. */
void
post_insert(Post *post, Delivery *delivery)
{
	dlist_node *after = post->waiting.head.prev;

	delivery->state = DELIVERY_WAITING;
	delivery->post = post;
	while (after != &post->waiting.head &&
		   dlist_container(Delivery, node, after)->key.id > delivery->key.id)
		after = after->prev;
	dlist_insert_after(after, &delivery->node);
}

/* See lane_window.h. */
void
flight_merge(Flight *flight, Delivery *delivery)
{
	Post *post = delivery->post;

	dlist_delete(&delivery->node);
	delivery->state = DELIVERY_IN_FLIGHT;
	delivery->tried = true;
	dlist_push_tail(&flight->merged, &delivery->node);
	flight->n_merged++;
	if (post->in_flight == NULL)
		post->in_flight = delivery;
	post_update(post);
}

/* See lane_window.h. */
Delivery *
flight_unmerge(Flight *flight, Post **post)
{
	Delivery *delivery;

	*post = NULL;
	if (dlist_is_empty(&flight->merged))
		return NULL;
	delivery = dlist_container(Delivery, node, dlist_pop_head_node(&flight->merged));
	flight->n_merged--;
	if (flight->n_merged > 0 &&
		dlist_head_element(Delivery, node, &flight->merged)->post == delivery->post)
		return delivery;
	/* that of the request's first delivery has been let go with it */
	if (delivery->post->in_flight)
		*post = delivery->post;
	delivery->post->in_flight = NULL;
	return delivery;
}

/* See lane_window.h. */
void
flight_put_back(Flight *flight)
{
	Delivery *delivery;
	Post	 *post;

	while ((delivery = flight_unmerge(flight, &post)) != NULL)
	{
		post_insert(delivery->post, delivery);
		if (post)
			post_update(post);
	}
}

/* See lane_window.h. */
void
flight_part(Flight *flight)
{
	dlist_iter iter;

	flight->delivery->alone = true;
	dlist_foreach (iter, &flight->merged)
		dlist_container(Delivery, node, iter.cur)->alone = true;
}

/* See lane_window.h. */
EventKey
delivery_event(const Delivery *delivery)
{
	return (EventKey){ delivery->event_partition, delivery->event_id };
}

/* See lane_window.h. */
void
delivery_free(Delivery *delivery)
{
	Lane *lane = delivery->key.lane;

	Assert(delivery->state == DELIVERY_DONE && delivery->settlements == 0);
	Assert(delivery->flight == NULL);
	lane->in_memory--;
	hash_search(lane->dispatch->deliveries, &delivery->key, HASH_REMOVE, NULL);
}

/* See lane_window.h. */
void
delivery_done(Delivery *delivery)
{
	Assert(delivery->state != DELIVERY_DONE);
	delivery->key.lane->loaded--;
	delivery->key.lane->dispatch->loaded--;
	delivery->state = DELIVERY_DONE;
	delivery->post = NULL;
	if (delivery->settlements == 0)
		delivery_free(delivery);
}

/* ------------------------------------------------------------------------
 * The window
 * ------------------------------------------------------------------------ */

/*
 * Rows a lane may have in memory: what it has and its share of what is left of the
 * bound over all lanes.
 */
static int
window_size(const Lane *lane)
{
	const Dispatch *dispatch = lane->dispatch;
	int				left = Max(MAX_LOADED - dispatch->loaded, 0);

	return Max(MIN_WINDOW,
			   Min(MAX_WINDOW, lane->loaded + left / Max(dispatch->n_incomplete, 1)));
}

/* Whether every pending row is in memory. */
static void
window_set_complete(Lane *lane, bool complete)
{
	lane->dispatch->n_incomplete += (int) lane->complete - (int) complete;
	Assert(lane->dispatch->n_incomplete >= 0);
	lane->complete = complete;
}

/* See lane_window.h. */
void
window_rewind(Lane *lane, int64 id)
{
	lane->position = Min(lane->position, id);
	lane->frontier = Min(lane->frontier, id);
	lane->scanned = false;
	window_set_complete(lane, false);
}

/* See lane_window.h. */
void
window_forget(Lane *lane)
{
	Assert(lane->in_memory == 0 && dlist_is_empty(&lane->runnable));
	window_set_complete(lane, true);
}

/* See lane_window.h. */
bool
window_wants_rows(Lane *lane)
{
	int window = window_size(lane);

	if (lane->state != LANE_ACTIVE || lane->complete ||
		lane_blocked_until(lane) > lane->dispatch->now)
		return false;
	lane->looking_ahead = false;
	if (lane->loaded <= window / 4)
		return true;
	if (lane->scanned || !dlist_is_empty(&lane->runnable) || lane->loaded >= 2 * window ||
		lane->in_flight >= lane_limit(lane))
		return false;
	/* a full window, and nothing in it can be sent */
	lane->looking_ahead = lane->loaded >= window;
	return true;
}

/* Takes a row into memory, where window_has() does not see it yet. */
static void
window_load(Lane *lane, const QueueRow *row)
{
	DeliveryKey key = { lane, row->id };
	PostKey		post_key = { lane, row->post };
	Delivery   *delivery;
	Post	   *post;
	int			settlements = 0;
	bool		found;

	/* one that is done may be queued anew before its end is recorded */
	delivery = hash_search(lane->dispatch->deliveries, &key, HASH_ENTER, &found);
	Assert(!found || delivery->state == DELIVERY_DONE);
	if (found)
		settlements = delivery->settlements;
	else
		lane->in_memory++;
	memset((char *) delivery + sizeof(DeliveryKey), 0,
		   sizeof(Delivery) - sizeof(DeliveryKey));
	delivery->settlements = settlements;
	delivery->xid = row->xid;
	delivery->event_id = row->event.id;
	delivery->event_partition = row->event.partition;
	delivery->kind = row->kind;
	delivery->attempts = row->attempts;
	delivery->next_attempt_at =
		dispatch_moment(lane->dispatch, row->next_attempt_at, 0,
						row->attempts == 0 ? CHANNEL_MAX_HOLD_MS : LANE_MAX_RETRY_MS);

	post = hash_search(lane->dispatch->posts, &post_key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) post + sizeof(PostKey), 0, sizeof(Post) - sizeof(PostKey));
		dlist_init(&post->waiting);
		post->timer.kind = TIMER_POST;
		dlist_push_tail(&lane->posts, &post->lane_node);
	}
	post_insert(post, delivery);
	lane->loaded++;
	lane->dispatch->loaded++;
	post_update(post);
}

/* True if the row is in memory already. */
static bool
window_has(Lane *lane, const QueueRow *row)
{
	DeliveryKey key = { lane, row->id };
	Delivery   *delivery = hash_search(lane->dispatch->deliveries, &key, HASH_FIND, NULL);

	return delivery && (delivery->xid == row->xid || delivery->state != DELIVERY_DONE);
}

/* A request is to be aborted, with all that went out with it. */
static void
flight_abort(Flight *flight)
{
	Delivery *delivery = flight->delivery;
	Delivery *merged;
	Post	 *unused;

	lane_end_request(delivery);
	while ((merged = flight_unmerge(flight, &unused)) != NULL)
		delivery_done(merged);
	pfree(flight);
	dlist_push_tail(&delivery->key.lane->dispatch->aborts, &delivery->node);
}

/* See lane_window.h. */
void
window_empty(Lane *lane)
{
	dlist_mutable_iter i, j;

	dlist_foreach_modify (i, &lane->posts)
	{
		Post *post = dlist_container(Post, lane_node, i.cur);

		/* what goes out with another one ends with that one */
		if (post->in_flight && post->in_flight->flight)
			flight_abort(post->in_flight->flight);
	}
	dlist_foreach_modify (i, &lane->posts)
	{
		Post *post = dlist_container(Post, lane_node, i.cur);

		dlist_foreach_modify (j, &post->waiting)
		{
			dlist_delete(j.cur);
			delivery_done(dlist_container(Delivery, node, j.cur));
		}
		post_remove(post);
	}
	window_rewind(lane, 0);
	window_set_complete(lane, true);
}

/* See lane_window.h. */
void
window_hurry(Lane *lane)
{
	dlist_iter i, j;

	dlist_foreach (i, &lane->posts)
	{
		Post *post = dlist_container(Post, lane_node, i.cur);

		dlist_foreach (j, &post->waiting)
			dlist_container(Delivery, node, j.cur)->next_attempt_at = 0;
		post_update(post);
	}
}

/* ------------------------------------------------------------------------
 * Taking rows
 * ------------------------------------------------------------------------ */

/* Takes a row beyond the position while nothing up to the frontier is unread. */
static void
take_ahead(Lane *lane, const QueueRow *row)
{
	Post *post = post_find(lane, row->post);

	if (post)
		post->skipped = true;
	else if (lane->loaded < 2 * window_size(lane))
		window_load(lane, row);
	else
	{
		lane->frontier = Min(lane->frontier, row->id - 1);
		lane->scanned = false;
		return;
	}
	lane->frontier = Max(lane->frontier, row->id);
}

/* Takes a new row into the window, or leaves it to be read later. */
static void
window_take_new(Lane *lane, const QueueRow *row)
{
	bool room = lane->loaded < window_size(lane);

	if (lane->complete && room)
	{
		window_load(lane, row);
		lane->position = lane->frontier = Max(lane->position, row->id);
	}
	else if (lane->complete)
		window_rewind(lane, row->id - 1);
	else if (row->id <= lane->position)
	{
		/* committed after a higher one */
		if (lane->loaded < 2 * window_size(lane))
			window_load(lane, row);
		else
			window_rewind(lane, row->id - 1);
	}
	else if (row->id <= lane->frontier || lane->scanned)
		take_ahead(lane, row);
}

/* See lane_window.h. */
void
window_unread(Dispatch *dispatch, const pg_uuid_t *integration_id, int64 id)
{
	Lane *lane = roster_lane(dispatch, integration_id);

	if (lane->state != LANE_ACTIVE)
	{
		roster_close_again(lane);
		return;
	}
	window_rewind(lane, id - 1);
	lane_update(lane);
}

/* See lane_window.h. */
void
window_new(Dispatch *dispatch, const QueueRow *row)
{
	Lane *lane = roster_lane(dispatch, &row->integration_id);

	if (lane->state != LANE_ACTIVE)
	{
		roster_close_again(lane);
		return;
	}
	if (window_has(lane, row))
		return;
	window_take_new(lane, row);
	lane_update(lane);
}

/* See lane_window.h. */
bool
window_next_wanted(const Dispatch *dispatch, RowsWanted *wanted)
{
	Lane *lane;

	if (dlist_is_empty((dlist_head *) &dispatch->wants_rows))
		return false;
	lane =
		dlist_head_element(Lane, wants_rows_node, (dlist_head *) &dispatch->wants_rows);
	wanted->lane = lane;
	wanted->integration_id = lane->id;
	wanted->after = lane->looking_ahead ? lane->frontier : lane->position;
	wanted->limit = lane->looking_ahead
						? LOOK_AHEAD
						: Max(window_size(lane) - lane->loaded, MIN_WINDOW);
	return true;
}

/* Rows after the position: all are taken. */
static void
take_window(Lane *lane, const QueueRows *rows, bool at_end)
{
	for (int i = 0; i < rows->count; i++)
	{
		const QueueRow *row = &rows->rows[i];

		Assert(lane->position < row->id);
		lane->position = row->id;
		if (!window_has(lane, row))
			window_load(lane, row);
	}
	lane->frontier = Max(lane->frontier, lane->position);
	if (at_end)
	{
		lane->scanned = true;
		lane->position = lane->frontier;
		window_set_complete(lane, true);
	}
}

/* Rows after the frontier: those of posts that nothing holds back. */
static void
take_look_ahead(Lane *lane, const QueueRows *rows, bool at_end)
{
	lane->scanned = at_end;
	for (int i = 0; i < rows->count; i++)
	{
		const QueueRow *row = &rows->rows[i];

		if (window_has(lane, row))
			lane->frontier = row->id;
		else
		{
			int64 before = lane->frontier;

			take_ahead(lane, row);
			if (lane->frontier == before)
				break; /* no room */
		}
	}
}

/* See lane_window.h. */
void
window_take_rows(const RowsWanted *wanted, const QueueRows *rows)
{
	Lane *lane = wanted->lane;
	bool  at_end = rows->count < wanted->limit;

	if (lane->looking_ahead)
		take_look_ahead(lane, rows, at_end);
	else
		take_window(lane, rows, at_end);
	lane_update(lane);
}
