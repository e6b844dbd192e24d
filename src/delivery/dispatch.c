/*
 * dispatch.c
 *		What goes out next.
 *
 * Lanes that could send stand in lists (lane.c), which take turns; each list goes
 * round its lanes, and a lane round its posts.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/event_kind.h"
#include "base/settings.h"
#include "delivery/dispatch.h"
#include "delivery/lane.h"
#include "delivery/lane_health.h"
#include "delivery/lane_window.h"

/* So many more deliveries of one event have to wait before they become one message. */
#define MERGE_MINIMUM 10

/* Deliveries that one message stands for, and posts of which it tells more, at most. */
#define MERGE_LIMIT 500
#define MERGE_TOLD 10

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
	for (int i = 0; i < TIERS; i++)
		dispatch->tier_timers[i].kind = TIMER_TIER;
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

	/* the pace is of what could be in flight before */
	for (int tier = 0; tier < TIERS; tier++)
	{
		dispatch->paced_until[tier] = 0;
		timer_disarm(dispatch, &dispatch->tier_timers[tier]);
	}
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
		case TIMER_TIER:
			break; /* see dispatch_ready() */
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

/* ------------------------------------------------------------------------
 * Many in one message
 * ------------------------------------------------------------------------ */

/* Deliveries that could go out with another one. */
typedef struct Burst
{
	const Delivery *first;
	int				posts;
	int				count;
	Delivery	   *deliveries[MERGE_LIMIT - 1]; /* each post's by id */
} Burst;

/* True if a delivery may go out with that one, in whose turn it is. */
static bool
goes_with(const Delivery *first, const Delivery *next)
{
	/* what used up an attempt together waits for the same moment: it says the same again */
	return !next->alone && next->attempts == first->attempts &&
		   (first->attempts == 0 || next->next_attempt_at == first->next_attempt_at) &&
		   next->next_attempt_at <= first->key.lane->dispatch->now;
}

/* Adds what comes next on a post, as long as it is the same event; true if anything is. */
static bool
burst_add(Burst *burst, Post *post)
{
	int		   before = burst->count;
	dlist_iter iter;

	dlist_foreach (iter, &post->waiting)
	{
		Delivery *next = dlist_container(Delivery, node, iter.cur);

		if (burst->count == lengthof(burst->deliveries) ||
			next->kind != burst->first->kind || !goes_with(burst->first, next))
			break;
		burst->deliveries[burst->count++] = next;
		if (!event_definitions[next->kind].merges)
			break;
	}
	return burst->count > before;
}

/* What could go out with a delivery that is in flight. */
static void
burst_collect(Burst *burst, const Delivery *first)
{
	dlist_iter iter;

	burst->first = first;
	burst->posts = 1;
	burst->count = 0;
	if (event_definitions[first->kind].merges)
		burst_add(burst, first->post);
	dlist_foreach (iter, &first->key.lane->runnable)
		burst->posts += burst_add(burst, dlist_container(Post, node, iter.cur));
}

/* qsort() comparator */
static int
compare_events(const void *a, const void *b)
{
	int64 x = ((const EventKey *) a)->id;
	int64 y = ((const EventKey *) b)->id;

	return x < y ? -1 : x > y;
}

/* All of it goes out with its first, whichever that is; the first events are told. */
static void
burst_merge(const Burst *burst, Outgoing *outgoing)
{
	EventKey	heads[MERGE_LIMIT]; /* of each post */
	const Post *post = burst->first->post;
	int			n_heads = 0;

	heads[n_heads++] = delivery_event(burst->first);
	for (int i = 0; i < burst->count; i++)
	{
		Delivery *delivery = burst->deliveries[i];

		if (delivery->post != post)
			heads[n_heads++] = delivery_event(delivery);
		post = delivery->post;
		flight_merge(burst->first->flight, delivery);
	}
	Assert(n_heads == burst->posts);
	outgoing->count = 1 + burst->count;
	outgoing->posts = burst->posts;
	if (burst->posts == 1)
		return;
	qsort(heads, n_heads, sizeof(EventKey), compare_events);
	outgoing->n_told = Min(n_heads, MERGE_TOLD);
	memcpy(outgoing->told, heads, outgoing->n_told * sizeof(EventKey));
}

/* Mentions that come next on a comment's post. */
static void
find_mentions(const Delivery *comment, Outgoing *outgoing)
{
	dlist_iter iter;

	outgoing->told[outgoing->n_told++] = outgoing->event;
	dlist_foreach (iter, &comment->post->waiting)
	{
		const Delivery *next = dlist_container(Delivery, node, iter.cur);

		if (outgoing->n_told == MAX_TOLD || next->kind != EVENT_COMMENT_MENTION ||
			!goes_with(comment, next))
			break;
		outgoing->told[outgoing->n_told++] = delivery_event(next);
	}
	outgoing->may_take = outgoing->n_told > 1;
	if (!outgoing->may_take)
		outgoing->n_told = 0;
}

/* What else goes out in the message of a delivery to people. */
static void
merge(Delivery *delivery, Outgoing *outgoing)
{
	Burst burst;

	if (delivery->kind == EVENT_COUNT || delivery->alone)
		return;
	burst_collect(&burst, delivery);
	if (burst.count >= MERGE_MINIMUM)
		burst_merge(&burst, outgoing);
	else if (delivery->kind == EVENT_COMMENT_CREATED)
		find_mentions(delivery, outgoing);
	lane_update(delivery->key.lane);
}

/* See dispatch.h. */
void
dispatch_take(Outgoing *outgoing, int count)
{
	Delivery *delivery = outgoing->delivery;

	Assert(outgoing->may_take && count < outgoing->n_told);
	for (int i = 0; i < count; i++)
		flight_merge(delivery->flight,
					 dlist_head_element(Delivery, node, &delivery->post->waiting));
	outgoing->count += count;
	outgoing->n_told = 1 + count;
	outgoing->may_take = false;
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
		.posts = 1,
	};
	if (lane->channel->merges)
		merge(delivery, outgoing);
	return true;
}

/* ------------------------------------------------------------------------
 * What does not go out after all
 * ------------------------------------------------------------------------ */

/* See dispatch.h. */
void
dispatch_put_back(Delivery *delivery)
{
	Post   *post = delivery->post;
	Flight *flight = lane_end_request(delivery);

	flight_put_back(flight);
	pfree(flight);
	post_insert(post, delivery);
	post_update(post);
	lane_update(delivery->key.lane);
}

/* See dispatch.h. */
void
dispatch_put_back_alone(Delivery *delivery)
{
	flight_part(delivery->flight);
	dispatch_put_back(delivery);
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
