/*
 * dispatch.c
 *		What goes out next.
 *
 * Lanes that could send stand in lists (lane.c), which take turns; each list goes
 * round its lanes, and a lane round its posts.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/settings.h"
#include "delivery/dispatch.h"
#include "delivery/lane.h"
#include "delivery/lane_health.h"
#include "delivery/lane_window.h"

/* So many deliveries about one post have to wait before they become one message. */
#define MERGE_MINIMUM 10

/* The service measures where requests arrive, we where they start. */
#define PACE_MARGIN 1.05

/* A hash table in the context of all of it. */
static HTAB *
make_table(Dispatch *dispatch, const char *name, Size key_size, Size entry_size)
{
	HASHCTL info = { .keysize = key_size,
					 .entrysize = entry_size,
					 .hcxt = dispatch->context };

	return hash_create(name, 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* See dispatch.h. */
Dispatch *
dispatch_create(void)
{
	MemoryContext context = AllocSetContextCreate(
		TopMemoryContext, "featul_integrations dispatch", ALLOCSET_DEFAULT_SIZES);
	Dispatch *dispatch = MemoryContextAllocZero(context, sizeof(Dispatch));

	dispatch->context = context;
	dispatch->now = 1;
	dispatch->lanes = make_table(dispatch, "lanes", sizeof(pg_uuid_t), sizeof(Lane));
	dispatch->posts = make_table(dispatch, "posts", sizeof(PostKey), sizeof(Post));
	dispatch->deliveries =
		make_table(dispatch, "deliveries", sizeof(DeliveryKey), sizeof(Delivery));
	dispatch->timers = MemoryContextAllocZero(context, sizeof(pairingheap));
	dispatch->timers->ph_compare = timer_compare;
	for (int i = 0; i < TIERS * LOADS; i++)
		dlist_init(&dispatch->ready[i / LOADS][i % LOADS]);
	for (int i = 0; i < AGES; i++)
		dlist_init(&dispatch->flights[i]);
	dlist_init(&dispatch->new_surprises);
	dlist_init(&dispatch->wants_rows);
	dlist_init(&dispatch->dirty);
	dlist_init(&dispatch->gone);
	dlist_init(&dispatch->closing);
	dlist_init(&dispatch->aborts);
	return dispatch;
}

/* See dispatch.h. */
void
dispatch_destroy(Dispatch *dispatch)
{
	if (dispatch)
		MemoryContextDelete(dispatch->context);
}

/* See dispatch.h. */
void
dispatch_configure(Dispatch *dispatch)
{
	HASH_SEQ_STATUS sequence;
	Lane		   *lane;

	hash_seq_init(&sequence, dispatch->lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		lane_update(lane);
}

/* See dispatch.h. */
int
dispatch_in_flight(const Dispatch *dispatch)
{
	return dispatch->in_flight;
}

/* ------------------------------------------------------------------------
 * Time
 * ------------------------------------------------------------------------ */

/* See dispatch.h. */
void
dispatch_set_time(Dispatch *dispatch, Moment now, TimestampTz time)
{
	dispatch->now = now;
	dispatch->time = time;
}

/* See dispatch.h. */
Moment
dispatch_due(const Dispatch *dispatch)
{
	if (pairingheap_is_empty(dispatch->timers))
		return 0;
	return pairingheap_container(Timer, node, pairingheap_first(dispatch->timers))->at;
}

/* The time of a timer, which is not armed any more, has come. */
static void
timer_fire(Dispatch *dispatch, Timer *timer)
{
	Post *post;
	Lane *lane;

	switch (timer->kind)
	{
		case TIMER_POST:
			post = (Post *) ((char *) timer - offsetof(Post, timer));
			lane = post->key.lane;
			post_update(post);
			lane_update(lane);
			break;
		case TIMER_LANE:
			lane_update((Lane *) ((char *) timer - offsetof(Lane, timer)));
			break;
		case TIMER_HEALTH:
			lane_list_dirty((Lane *) ((char *) timer - offsetof(Lane, health_timer)));
			break;
		case TIMER_GONE:
			lane_list_gone((Lane *) ((char *) timer - offsetof(Lane, gone_timer)));
			break;
	}
}

/* See dispatch.h. */
void
dispatch_advance(Dispatch *dispatch)
{
	capacity_age_requests(dispatch);
	while (!pairingheap_is_empty(dispatch->timers))
	{
		Timer *timer =
			pairingheap_container(Timer, node, pairingheap_first(dispatch->timers));

		if (timer->at > dispatch->now)
			break;
		timer_disarm(dispatch, timer);
		timer_fire(dispatch, timer);
	}
}

/* See dispatch.h. */
Moment
dispatch_channel_hold(const Dispatch *dispatch, const Channel *channel)
{
	for (int i = 0; i < CHANNEL_HOLDS && dispatch->channel_holds[i].channel; i++)
		if (dispatch->channel_holds[i].channel == channel)
			return dispatch->channel_holds[i].until;
	return 0;
}

/* See dispatch.h. */
void
dispatch_hold_channel(Dispatch *dispatch, const Channel *channel, Moment until)
{
	HASH_SEQ_STATUS sequence;
	Lane		   *lane;
	int				i = 0;

	while (i < CHANNEL_HOLDS - 1 && dispatch->channel_holds[i].channel &&
		   dispatch->channel_holds[i].channel != channel)
		i++;
	dispatch->channel_holds[i].channel = channel;
	dispatch->channel_holds[i].until = Max(dispatch->channel_holds[i].until, until);
	hash_seq_init(&sequence, dispatch->lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		if (lane->channel == channel)
			lane_update(lane);
}

/* ------------------------------------------------------------------------
 * What goes out
 * ------------------------------------------------------------------------ */

/*
 * The post whose turn it is.  A probe goes to a delivery that was never tried where
 * there is one: what the endpoint does to another may be that one's fault.
 */
static Post *
next_post(Lane *lane, bool probe)
{
	Post	  *found = dlist_head_element(Post, node, &lane->runnable);
	dlist_iter iter;

	if (!probe)
		return found;
	dlist_foreach (iter, &lane->runnable)
	{
		Post	 *post = dlist_container(Post, node, iter.cur);
		Delivery *first = dlist_head_element(Delivery, node, &post->waiting);

		if (!first->tried && first->attempts == 0)
		{
			found = post;
			break;
		}
	}
	return found;
}

/* See dispatch.h. */
bool
dispatch_ready(const Dispatch *dispatch)
{
	return settings_may_deliver() && capacity_peek(dispatch);
}

/* The lane's next delivery is in flight from now on. */
static Delivery *
start_next(Lane *lane)
{
	bool	  probe = lane_breaker_open(lane);
	Post	 *post = next_post(lane, probe);
	Delivery *delivery = dlist_head_element(Delivery, node, &post->waiting);

	Assert(lane->state == LANE_ACTIVE && lane->in_flight < lane_limit(lane));
	Assert(post->in_flight == NULL); /* one at a time */
	lane_begin_request(lane, delivery, probe);
	dlist_delete(&delivery->node);
	if (lane->channel->pace_ms > 0)
		lane->pace_until =
			Max(lane->pace_until, clock_after_ms(lane->dispatch->now,
												 lane->channel->pace_ms * PACE_MARGIN));
	post_update(post);

	/* to the end of its list */
	lane_unlist(lane);
	lane_update(lane);
	return delivery;
}

/* See dispatch.h. */
bool
dispatch_next(Dispatch *dispatch, Outgoing *outgoing)
{
	Lane	 *lane = settings_may_deliver() ? capacity_next(dispatch) : NULL;
	Delivery *delivery;

	if (lane == NULL)
		return false;
	delivery = start_next(lane);
	*outgoing = (Outgoing){
		.delivery = delivery,
		.id = delivery->key.id,
		.event = delivery_event(delivery),
		.endpoint = { .channel = lane->channel,
					  .url = lane->url,
					  .secret = lane->secret,
					  .previous_secret = lane->previous_secret_until > dispatch->time
											 ? lane->previous_secret
											 : NULL },
		.count = 1,
		.mergeable = lane->channel->merges && !dlist_is_empty(&delivery->post->waiting),
	};
	return true;
}

/* See dispatch.h. */
int
dispatch_mergeable(const Outgoing *outgoing, EventKey *keys, int limit)
{
	Post	  *post = outgoing->delivery->post;
	int		   count = 0;
	dlist_iter iter;

	Assert(outgoing->mergeable && outgoing->delivery->flight->n_merged == 0);
	keys[0] = outgoing->event;
	dlist_foreach (iter, &post->waiting)
	{
		const Delivery *next = dlist_container(Delivery, node, iter.cur);

		if (count == limit || next->next_attempt_at > post->key.lane->dispatch->now)
			break;
		keys[++count] = delivery_event(next);
	}
	return count >= MERGE_MINIMUM ? count : 0;
}

/* See dispatch.h. */
void
dispatch_merge(Outgoing *outgoing, int count)
{
	Delivery *delivery = outgoing->delivery;
	Flight	 *flight = delivery->flight;

	if (count < MERGE_MINIMUM)
		return;
	for (int i = 0; i < count; i++)
	{
		dlist_node *node = dlist_pop_head_node(&delivery->post->waiting);

		dlist_container(Delivery, node, node)->state = DELIVERY_IN_FLIGHT;
		dlist_push_tail(&flight->merged, node);
	}
	flight->n_merged = count;
	outgoing->count = 1 + count;
	outgoing->mergeable = false;
}

/* See dispatch.h. */
void
dispatch_put_back(Delivery *delivery)
{
	Post   *post = delivery->post;
	Flight *flight = lane_end_request(delivery);

	post_put_back_merged(post, flight);
	pfree(flight);
	post_insert(post, delivery);
	post_update(post);
	lane_update(delivery->key.lane);
}

/* ------------------------------------------------------------------------
 * What will go out
 * ------------------------------------------------------------------------ */

/* What a lane will send next and has not been announced: at most limit. */
static int
lane_following(Lane *lane, Following *following, int limit)
{
	dlist_iter iter;
	int		   count = 0;

	dlist_foreach (iter, &lane->runnable)
	{
		Post	 *post = dlist_container(Post, node, iter.cur);
		Delivery *next = dlist_head_element(Delivery, node, &post->waiting);

		if (count == limit)
			break;
		if (next->announced)
			continue;
		next->announced = true;
		following[count++] = (Following){ next->key.id, delivery_event(next) };
	}
	return count;
}

/* See dispatch.h. */
int
dispatch_following(Delivery *const *deliveries, int count, Following *following,
				   int limit)
{
	int n_lanes = 0;
	int n = 0;

	for (int i = 0; i < count; i++)
	{
		n_lanes += !deliveries[i]->key.lane->to_follow;
		deliveries[i]->key.lane->to_follow = true;
	}
	for (int i = 0; i < count; i++)
	{
		Lane *lane = deliveries[i]->key.lane;

		if (!lane->to_follow)
			continue;
		lane->to_follow = false;
		n += lane_following(lane, following + n, (limit - n) / Max(n_lanes, 1));
		n_lanes--;
	}
	return n;
}
