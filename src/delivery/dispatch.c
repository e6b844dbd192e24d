/*
 * dispatch.c
 *		Lanes, order, retries, health: decides, and does no I/O of its own.
 *
 * Reading a lane.  position: every pending row up to this id is in memory.
 * frontier: rows between position and frontier have been looked at too; those
 * not in memory belong to posts that have earlier rows in memory (such a post is
 * marked skipped), so none of them could be sent yet.  Only when a window is full
 * of rows that must wait does the frontier run ahead of the position.  If a
 * skipped post runs out of rows, the frontier falls back to the position.
 *
 * Sharing the slots.  A lane is trusted if its last attempt succeeded within a
 * second and no request of it has been under way for longer; else it is new
 * (never tried) or suspect.  New and suspect lanes together get half of
 * max_in_flight, suspect ones half of that; a new lane has one request until it
 * has answered.  The upper half of the slots goes only to trusted lanes that have
 * nothing under way.  So endpoints that answer slowly or not at all, be they one or a
 * thousand, leave half of the slots to the others, and cannot keep a new one
 * from being tried.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "delivery/dispatch.h"
#include "base/settings.h"

/* Deliveries in memory, over all lanes, and bounds of one lane's window. */
#define MAX_LOADED 32768
#define MAX_WINDOW 1024
#define MIN_WINDOW 16

/* Events kept with deliveries to be sent soon, over all lanes (bytes). */
#define MAX_LOADED_BYTES (4 * 1024 * 1024)

/* So many deliveries about one post have to wait before they become one message. */
#define MERGE_MINIMUM 10

/* Rows read at once while looking beyond a full window. */
#define LOOK_AHEAD 1000

/* The service measures where requests arrive, we where they start. */
#define PACE_MARGIN 1.05

/* A request under way for longer makes its lane suspect (ms). */
#define SLOW_MS 1000

/* Health is written at most so often (ms). */
#define HEALTH_PERIOD_MS 1000

/* Until a locked integration row is tried again (ms). */
#define LOCKED_MS 1000

/* Answers of 429 or 503 for longer than this count as failures (design 5). */
#define MAX_HOLD_SERIES_MS (INT64CONST(24) * 3600 * 1000)
#define MAX_HOLD_MS (INT64CONST(3600) * 1000)

/* Failed attempts in a row after which a lane only probes, and its pauses. */
#define BREAKER_FAILURES 10
#define MAX_PROBE_PAUSE_MS (INT64CONST(600) * 1000)

/* Failing for so long makes an integration inactive. */
#define MAX_FAILING_MS (INT64CONST(5) * 24 * 3600 * 1000)

/* Bound of the pause between attempts, whatever the settings multiply to. */
#define MAX_RETRY_MS (INT64CONST(7) * 24 * 3600 * 1000)

typedef enum TimerKind
{
	TIMER_POST,	  /* a post's next delivery may be tried again */
	TIMER_LANE,	  /* a lane may send again */
	TIMER_HEALTH, /* a lane's health is to be saved */
	TIMER_GONE	  /* a lane is to be deactivated */
} TimerKind;

typedef struct Timer
{
	pairingheap_node node;
	TimerKind		 kind;
	bool			 armed;
	TimestampTz		 at;
} Timer;

typedef enum LaneState
{
	LANE_ACTIVE,
	LANE_LEAVING, /* to be made inactive */
	LANE_CLOSING, /* its pending rows are to be cancelled */
	LANE_CLOSED	  /* inactive, nothing pending as far as known */
} LaneState;

typedef enum LaneClass
{
	CLASS_TRUSTED,
	CLASS_NEW,
	CLASS_SUSPECT
} LaneClass;

/* The lists of lanes that could send; each goes round. */
typedef enum Queueing
{
	READY_IDLE, /* trusted, nothing under way */
	READY_BUSY, /* trusted */
	READY_NEW,
	READY_SUSPECT,
	READY_LISTS,
	NOT_READY = READY_LISTS
} Queueing;

/* A post of a lane with deliveries in memory. */
typedef struct PostKey
{
	Lane  *lane;
	uint64 post;
} PostKey;

typedef struct Post
{
	PostKey	   key;		 /* hash key */
	dlist_head waiting;	 /* deliveries by id */
	Delivery  *flying;	 /* or NULL */
	bool	   runnable; /* in the lane's list */
	bool	   skipped;	 /* has pending rows beyond those in memory */
	dlist_node node;	 /* in the lane's runnable */
	Timer	   timer;	 /* until its first delivery may be tried */
} Post;

typedef enum DeliveryState
{
	DELIVERY_WAITING,
	DELIVERY_FLYING,
	DELIVERY_DONE /* only its settlement is outstanding */
} DeliveryState;

typedef struct DeliveryKey
{
	Lane *lane;
	int64 id;
} DeliveryKey;

struct Delivery
{
	DeliveryKey	  key; /* hash key */
	DeliveryState state;
	uint64		  xid;
	int64		  event_id;
	int			  event_slot;
	int			  attempts;
	int			  settlements; /* not recorded yet */
	bool		  probe;	   /* uses up no attempt */
	bool		  slow;		   /* under way for longer than SLOW_MS */
	TimestampTz	  next_attempt_at;
	TimestampTz	  started_at;
	TimestampTz	  connected_at; /* the lane's updated_at when it was started */
	Event		 *event;		/* WAITING: kept early; or NULL */
	int			  n_merged;		/* others that go out with it */
	Delivery	 *merged;		/* the first of them */
	Delivery	 *next_merged;	/* of one that goes out with another */
	Post		 *post;			/* NULL once done */
	dlist_node	  node;			/* WAITING: in post's; FLYING: in the lane's */
	dlist_node	  fresh_node;	/* FLYING and not slow: by start */
};

struct Lane
{
	pg_uuid_t id; /* hash key */
	LaneState state;
	char	 *closing_reason; /* or NULL */
	bool	  exists;		  /* there is a row in integration */
	bool	  seen;

	/* the integration */
	char		  *workspace_id;
	char		  *type;
	char		  *url;
	char		  *secret;
	char		  *previous_secret;
	TimestampTz	   previous_secret_until;
	TimestampTz	   updated_at;
	const Channel *channel;

	/* the window */
	int64	   position;
	int64	   frontier;
	bool	   scanned;		  /* there is nothing beyond the frontier */
	bool	   complete;	  /* every pending row is in memory */
	bool	   looking_ahead; /* the read under way goes on from the frontier */
	int		   in_memory;	  /* deliveries, the done ones too */
	int		   loaded;		  /* deliveries, without the done ones */
	dlist_head runnable;	  /* posts that can send */
	dlist_head flying;
	bool	   to_follow; /* see dispatch_following() */
	bool	   hungry;
	dlist_node hungry_node;

	/* sharing */
	LaneClass class;
	bool		tried;
	bool		good; /* its last attempt succeeded, and quickly */
	int			in_flight;
	int			n_slow;
	Queueing	queueing;
	dlist_node	ready_node;
	bool		paced;		   /* its channel asks for pauses: one at a time */
	TimestampTz blocked_until; /* pace, hold or breaker */
	Timer		timer;

	/* health */
	int			failures;
	int			probes; /* since only probes go out */
	int			holds;	/* answers of 429 or 503 in a row */
	TimestampTz failing_since;
	TimestampTz held_since;
	TimestampTz hold_until;
	int			last_status;
	char	   *last_error;
	TimestampTz triggered_at; /* since it was saved */
	int64		delivered;	  /* likewise */
	int64		failed;
	int64		retried;
	int64		latency[LATENCY_BUCKETS];
	int64		latency_sum;
	int			saved_failures; /* as the table has it */
	TimestampTz saved_hold_until;
	TimestampTz saved_at;
	bool		dirty_listed; /* else its timer may be armed */
	Timer		health_timer;
	dlist_node	dirty_node;

	/* the end */
	char	  *gone_reason;
	Timer	   gone_timer;
	bool	   gone_listed;
	dlist_node gone_node;
	dlist_node closing_node; /* CLOSING */
};

static MemoryContext context = NULL;
static HTAB			*lanes;
static HTAB			*posts;
static HTAB			*deliveries;
static pairingheap	*timers;
static dlist_head	 ready[READY_LISTS];
static int			 next_list; /* whose turn it is */
static dlist_head	 fresh;		/* deliveries under way and not slow, by start */
static dlist_head	 hungry_lanes;
static dlist_head	 dirty_lanes;
static dlist_head	 gone_lanes;
static dlist_head	 closing_lanes;
static dlist_head	 aborts; /* deliveries under way that must not be */
static int			 in_flight;
static int			 doubtful_in_flight; /* of new and suspect lanes */
static int			 suspect_in_flight;
static int			 n_incomplete;
static Size			 loaded_bytes; /* of the events kept with deliveries */
static TimestampTz	 present;	   /* the time of this call, more or less */

static void lane_update(Lane *lane);

/* ------------------------------------------------------------------------
 * Set-up and timers
 * ------------------------------------------------------------------------ */

/* Replaces a text of a lane if it differs. */
static void
set_text(char **target, const char *value)
{
	char *old = *target;

	if (old && value && strcmp(old, value) == 0)
		return;
	*target = value ? MemoryContextStrdup(context, value) : NULL;
	if (old)
		pfree(old);
}

/* pairingheap_comparator: the earliest first. */
static int
compare_timers(const pairingheap_node *a, const pairingheap_node *b, void *unused)
{
	TimestampTz x = pairingheap_const_container(Timer, node, a)->at;
	TimestampTz y = pairingheap_const_container(Timer, node, b)->at;

	return x < y ? 1 : x > y ? -1 : 0;
}

static HTAB *
make_table(const char *name, Size key_size, Size entry_size)
{
	HASHCTL info = { .keysize = key_size, .entrysize = entry_size, .hcxt = context };

	return hash_create(name, 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* See dispatch.h. */
void
dispatch_reset(void)
{
	if (context)
		MemoryContextDelete(context);
	context = NULL;
	context = AllocSetContextCreate(TopMemoryContext, "featul_integrations dispatch",
									ALLOCSET_DEFAULT_SIZES);
	lanes = make_table("lanes", sizeof(pg_uuid_t), sizeof(Lane));
	posts = make_table("posts", sizeof(PostKey), sizeof(Post));
	deliveries = make_table("deliveries", sizeof(DeliveryKey), sizeof(Delivery));
	timers = MemoryContextAllocZero(context, sizeof(pairingheap));
	timers->ph_compare = compare_timers;
	for (int i = 0; i < READY_LISTS; i++)
		dlist_init(&ready[i]);
	dlist_init(&fresh);
	dlist_init(&hungry_lanes);
	dlist_init(&dirty_lanes);
	dlist_init(&gone_lanes);
	dlist_init(&closing_lanes);
	dlist_init(&aborts);
	in_flight = doubtful_in_flight = suspect_in_flight = n_incomplete = 0;
	loaded_bytes = 0;
	next_list = 0;
	present = GetCurrentTimestamp();
}

static void
timer_disarm(Timer *timer)
{
	if (timer->armed)
		pairingheap_remove(timers, &timer->node);
	timer->armed = false;
}

static void
timer_arm(Timer *timer, TimestampTz at)
{
	if (timer->armed && timer->at == at)
		return;
	timer_disarm(timer);
	timer->at = at;
	timer->armed = true;
	pairingheap_add(timers, &timer->node);
}

/* See dispatch.h. */
TimestampTz
dispatch_due(void)
{
	if (pairingheap_is_empty(timers))
		return 0;
	return pairingheap_container(Timer, node, pairingheap_first(timers))->at;
}

/* ±20 % of jitter (design 5). */
static int64
jittered(int64 ms)
{
	return (int64) (ms * (0.8 + 0.4 * pg_prng_double(&pg_global_prng_state)));
}

/* retry_delay doubled n times, bounded, with jitter (ms). */
static int64
backoff(int n, int64 bound)
{
	double ms = ldexp(setting_retry_delay, Min(n, 60));

	return jittered(ms > bound ? bound : (int64) ms);
}

/* ------------------------------------------------------------------------
 * Sharing the slots
 * ------------------------------------------------------------------------ */

static int
half_of_slots(void)
{
	return Max(setting_max_in_flight / 2, 1);
}

/* Adds to the counts of requests under way. */
static void
count_in_flight(Lane *lane, int requests)
{
	in_flight += requests;
	if (lane->class != CLASS_TRUSTED)
		doubtful_in_flight += requests;
	if (lane->class == CLASS_SUSPECT)
		suspect_in_flight += requests;
	Assert(0 <= suspect_in_flight && suspect_in_flight <= doubtful_in_flight &&
		   doubtful_in_flight <= in_flight);
}

static void
lane_classify(Lane *lane)
{
	LaneClass class = lane->n_slow > 0 ? CLASS_SUSPECT
					  : !lane->tried   ? CLASS_NEW
					  : lane->good	   ? CLASS_TRUSTED
									   : CLASS_SUSPECT;

	if (class == lane->class)
		return;
	count_in_flight(lane, -lane->in_flight);
	lane->class = class;
	count_in_flight(lane, lane->in_flight);
}

static bool
breaker_open(const Lane *lane)
{
	return lane->failures >= BREAKER_FAILURES;
}

/* How many requests the lane may have under way. */
static int
lane_limit(const Lane *lane)
{
	if (!lane->tried || lane->paced || breaker_open(lane))
		return 1;
	return Min(setting_max_in_flight_per_integration, half_of_slots());
}

/* The list a lane belongs to now. */
static Queueing
lane_queueing(const Lane *lane)
{
	if (lane->state != LANE_ACTIVE || dlist_is_empty((dlist_head *) &lane->runnable) ||
		lane->blocked_until > present || lane->in_flight >= lane_limit(lane))
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

/* True if there is a slot for a lane of this list. */
static bool
slot_free(Queueing list)
{
	int half = half_of_slots();

	if (in_flight >= setting_max_in_flight)
		return false;
	switch (list)
	{
		case READY_IDLE:
			return true;
		case READY_BUSY:
			return in_flight < half;
		case READY_NEW:
			return doubtful_in_flight < half;
		default:
			return doubtful_in_flight < half && suspect_in_flight < Max(half / 2, 1);
	}
}

/* Requests that have been under way for too long make their lanes suspect. */
static void
age_requests(void)
{
	TimestampTz limit = present - SLOW_MS * INT64CONST(1000);

	while (!dlist_is_empty(&fresh))
	{
		Delivery *delivery = dlist_head_element(Delivery, fresh_node, &fresh);
		Lane	 *lane = delivery->key.lane;

		if (delivery->started_at > limit)
			break;
		dlist_delete(&delivery->fresh_node);
		delivery->slow = true;
		lane->n_slow++;
		lane_update(lane);
	}
}

/* ------------------------------------------------------------------------
 * Windows
 * ------------------------------------------------------------------------ */

/* Rows a lane may have in memory. */
static int
window_size(void)
{
	return Max(MIN_WINDOW, Min(MAX_WINDOW, MAX_LOADED / Max(n_incomplete, 1)));
}

static void
set_complete(Lane *lane, bool complete)
{
	n_incomplete += (int) lane->complete - (int) complete;
	Assert(n_incomplete >= 0);
	lane->complete = complete;
}

/* Rows after this id are to be read again. */
static void
rewind_lane(Lane *lane, int64 id)
{
	lane->position = Min(lane->position, id);
	lane->frontier = Min(lane->frontier, id);
	lane->scanned = false;
	set_complete(lane, false);
}

/* True if the lane should read on, and how. */
static bool
lane_hungry(Lane *lane)
{
	int window = window_size();

	if (lane->state != LANE_ACTIVE || lane->complete || lane->blocked_until > present)
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

/* Puts the lane into the lists where it belongs.  After every change. */
static void
lane_update(Lane *lane)
{
	Queueing queueing;
	bool	 hungry;

	Assert(lane->position <= lane->frontier);
	Assert(0 <= lane->loaded && lane->loaded <= lane->in_memory);
	lane_classify(lane);
	queueing = lane_queueing(lane);
	if (queueing != lane->queueing)
	{
		if (lane->queueing != NOT_READY)
			dlist_delete(&lane->ready_node);
		if (queueing != NOT_READY)
			dlist_push_tail(&ready[queueing], &lane->ready_node);
		lane->queueing = queueing;
	}
	if (lane->blocked_until > present)
		timer_arm(&lane->timer, lane->blocked_until);
	else
		timer_disarm(&lane->timer);
	hungry = lane_hungry(lane);
	if (hungry != lane->hungry)
	{
		if (hungry)
			dlist_push_tail(&hungry_lanes, &lane->hungry_node);
		else
			dlist_delete(&lane->hungry_node);
		lane->hungry = hungry;
	}
}

/* Does away with a post that has nothing left in memory. */
static void
post_remove(Post *post)
{
	Lane *lane = post->key.lane;

	Assert(post->flying == NULL && dlist_is_empty(&post->waiting));
	timer_disarm(&post->timer);
	if (post->runnable)
		dlist_delete(&post->node);
	if (post->skipped && !lane->complete)
	{
		lane->frontier = lane->position;
		lane->scanned = false;
	}
	hash_search(posts, &post->key, HASH_REMOVE, NULL);
}

/* Puts the post where it belongs.  After every change; it may be gone then. */
static void
post_update(Post *post)
{
	Lane	 *lane = post->key.lane;
	Delivery *first;
	bool	  runnable = false;

	if (post->flying == NULL && dlist_is_empty(&post->waiting))
	{
		post_remove(post);
		return;
	}
	if (post->flying)
		timer_disarm(&post->timer);
	else
	{
		first = dlist_head_element(Delivery, node, &post->waiting);
		if (first->next_attempt_at > present)
			timer_arm(&post->timer, first->next_attempt_at);
		else
		{
			timer_disarm(&post->timer);
			runnable = true;
		}
	}
	if (runnable && !post->runnable)
		dlist_push_tail(&lane->runnable, &post->node);
	else if (!runnable && post->runnable)
		dlist_delete(&post->node);
	post->runnable = runnable;
}

static Post *
post_find(Lane *lane, uint64 hash)
{
	PostKey key = { lane, hash };

	return hash_search(posts, &key, HASH_FIND, NULL);
}

/* Puts a delivery into its post's queue, by id. */
static void
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

/* Takes a row into memory, where lane_has() does not see it yet. */
static void
lane_load(Lane *lane, const QueueRow *row)
{
	DeliveryKey key = { lane, row->id };
	PostKey		post_key = { lane, row->post };
	Delivery   *delivery;
	Post	   *post;
	int			settlements = 0;
	bool		found;

	/* one that is done may be queued anew before its end is recorded */
	delivery = hash_search(deliveries, &key, HASH_ENTER, &found);
	Assert(!found || delivery->state == DELIVERY_DONE);
	if (found)
		settlements = delivery->settlements;
	else
		lane->in_memory++;
	memset((char *) delivery + sizeof(DeliveryKey), 0,
		   sizeof(Delivery) - sizeof(DeliveryKey));
	delivery->settlements = settlements;
	delivery->xid = row->xid;
	delivery->event_id = row->event_id;
	delivery->event_slot = row->event_slot;
	delivery->attempts = row->attempts;
	delivery->next_attempt_at = row->next_attempt_at;

	post = hash_search(posts, &post_key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) post + sizeof(PostKey), 0, sizeof(Post) - sizeof(PostKey));
		dlist_init(&post->waiting);
		post->timer.kind = TIMER_POST;
	}
	post_insert(post, delivery);
	lane->loaded++;
	post_update(post);
}

/* True if the row is in memory already. */
static bool
lane_has(Lane *lane, const QueueRow *row)
{
	DeliveryKey key = { lane, row->id };
	Delivery   *delivery = hash_search(deliveries, &key, HASH_FIND, NULL);

	return delivery && (delivery->xid == row->xid || delivery->state != DELIVERY_DONE);
}

/* Forgets a delivery that is in no list any more. */
static void
delivery_free(Delivery *delivery)
{
	Assert(delivery->state == DELIVERY_DONE && delivery->settlements == 0);
	Assert(delivery->event == NULL && delivery->merged == NULL);
	delivery->key.lane->in_memory--;
	hash_search(deliveries, &delivery->key, HASH_REMOVE, NULL);
}

/* The event kept with a delivery is the caller's from now on; NULL if there is none. */
static Event *
take_event(Delivery *delivery)
{
	Event *event = delivery->event;

	Assert(event == NULL || loaded_bytes >= GetMemoryChunkSpace(event));
	if (event)
		loaded_bytes -= GetMemoryChunkSpace(event);
	delivery->event = NULL;
	return event;
}

/* Ends a delivery's presence in its lane's window. */
static void
delivery_done(Delivery *delivery)
{
	Assert(delivery->state != DELIVERY_DONE);
	if (delivery->event)
		pfree(take_event(delivery));
	delivery->key.lane->loaded--;
	delivery->state = DELIVERY_DONE;
	delivery->post = NULL;
	if (delivery->settlements == 0)
		delivery_free(delivery);
}

/* Takes a row beyond the position while nothing up to the frontier is unread. */
static void
take_ahead(Lane *lane, const QueueRow *row)
{
	Post *post = post_find(lane, row->post);

	if (post)
		post->skipped = true;
	else if (lane->loaded < 2 * window_size())
		lane_load(lane, row);
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
lane_take_new(Lane *lane, const QueueRow *row)
{
	bool room = lane->loaded < window_size();

	if (lane->complete && room)
	{
		lane_load(lane, row);
		lane->position = lane->frontier = Max(lane->position, row->id);
	}
	else if (lane->complete)
		rewind_lane(lane, row->id - 1);
	else if (row->id <= lane->position)
	{
		/* committed after a higher one */
		if (lane->loaded < 2 * window_size())
			lane_load(lane, row);
		else
			rewind_lane(lane, row->id - 1);
	}
	else if (row->id <= lane->frontier || lane->scanned)
		take_ahead(lane, row);
}

/* Takes one of those that go out with a delivery; NULL if there is none left. */
static Delivery *
take_merged(Delivery *delivery)
{
	Delivery *merged = delivery->merged;

	if (merged)
	{
		delivery->merged = merged->next_merged;
		delivery->n_merged--;
		merged->next_merged = NULL;
	}
	return merged;
}

/* ------------------------------------------------------------------------
 * The end of a lane
 * ------------------------------------------------------------------------ */

/* A request is over, whatever came of it. */
static void
end_request(Delivery *delivery)
{
	Lane *lane = delivery->key.lane;

	Assert(delivery->state == DELIVERY_FLYING && delivery->post->flying == delivery);
	dlist_delete(&delivery->node);
	if (delivery->slow)
		lane->n_slow--;
	else
		dlist_delete(&delivery->fresh_node);
	delivery->slow = false;
	count_in_flight(lane, -1);
	lane->in_flight--;
	delivery->post->flying = NULL;
}

/* Drops what the lane has in memory; what is under way is to be aborted. */
static void
lane_empty(Lane *lane)
{
	HASH_SEQ_STATUS	   sequence;
	Post			  *post;
	dlist_mutable_iter iter;

	hash_seq_init(&sequence, posts);
	while ((post = hash_seq_search(&sequence)) != NULL)
	{
		if (post->key.lane != lane)
			continue;
		dlist_foreach_modify (iter, &post->waiting)
		{
			Delivery *delivery = dlist_container(Delivery, node, iter.cur);

			dlist_delete(&delivery->node);
			delivery_done(delivery);
		}
		if (post->flying)
		{
			Delivery *delivery = post->flying;

			Delivery *merged;

			while ((merged = take_merged(delivery)) != NULL)
				delivery_done(merged);
			end_request(delivery);
			dlist_push_tail(&aborts, &delivery->node);
		}
		post_remove(post);
	}
	rewind_lane(lane, 0);
	set_complete(lane, true);
}

static void
lane_list_dirty(Lane *lane)
{
	dlist_push_tail(&dirty_lanes, &lane->dirty_node);
	lane->dirty_listed = true;
}

/* It is no longer to be made inactive. */
static void
lane_stay(Lane *lane)
{
	timer_disarm(&lane->gone_timer);
	if (lane->gone_listed)
		dlist_delete(&lane->gone_node);
	lane->gone_listed = false;
}

static void
lane_close(Lane *lane, const char *reason)
{
	lane_stay(lane);
	lane_empty(lane);
	/* its last counts are to be saved before its health is removed */
	if (lane->health_timer.armed)
	{
		timer_disarm(&lane->health_timer);
		lane_list_dirty(lane);
	}
	if (lane->state != LANE_CLOSING)
		dlist_push_tail(&closing_lanes, &lane->closing_node);
	lane->state = LANE_CLOSING;
	set_text(&lane->closing_reason, reason);
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
	lane->tried = false;
	rewind_lane(lane, 0);
	lane_update(lane);
}

/* Forgets a lane of which nothing is left. */
static void
lane_free(Lane *lane)
{
	Assert(lane->state == LANE_CLOSED && !lane->exists && lane->in_memory == 0);
	Assert(lane->in_flight == 0 && dlist_is_empty(&lane->runnable) &&
		   dlist_is_empty(&lane->flying));
	set_complete(lane, true);
	timer_disarm(&lane->timer);
	timer_disarm(&lane->health_timer);
	lane_stay(lane);
	if (lane->dirty_listed)
		dlist_delete(&lane->dirty_node);
	if (lane->hungry)
		dlist_delete(&lane->hungry_node);
	if (lane->queueing != NOT_READY)
		dlist_delete(&lane->ready_node);
	hash_search(lanes, &lane->id, HASH_REMOVE, NULL);
}

/* See dispatch.h. */
Lane *
dispatch_next_closing(pg_uuid_t *integration_id, const char **reason)
{
	Lane *lane;

	if (dlist_is_empty(&closing_lanes))
		return NULL;
	lane = dlist_head_element(Lane, closing_node, &closing_lanes);
	*integration_id = lane->id;
	*reason = lane->closing_reason;
	return lane;
}

/* See dispatch.h. */
void
dispatch_cancelled(Lane *lane, int count, int limit)
{
	Assert(lane->state == LANE_CLOSING);
	dlist_delete(&lane->closing_node);
	if (count == limit)
	{
		/* the others' turn first */
		dlist_push_tail(&closing_lanes, &lane->closing_node);
		return;
	}
	lane->state = LANE_CLOSED;
	if (!lane->exists && lane->in_memory == 0)
		lane_free(lane);
}

/* See dispatch.h. */
Delivery *
dispatch_next_abort(void)
{
	Delivery *delivery;

	if (dlist_is_empty(&aborts))
		return NULL;
	delivery = dlist_container(Delivery, node, dlist_pop_head_node(&aborts));
	delivery_done(delivery);
	return delivery;
}

/* ------------------------------------------------------------------------
 * What there is to do
 * ------------------------------------------------------------------------ */

/* The lane of an integration, made if need be: of an unknown one, closed. */
static Lane *
lane_of(const pg_uuid_t *integration_id)
{
	bool  found;
	Lane *lane = hash_search(lanes, integration_id, HASH_ENTER, &found);

	if (found)
		return lane;
	memset((char *) lane + sizeof(pg_uuid_t), 0, sizeof(Lane) - sizeof(pg_uuid_t));
	lane->state = LANE_CLOSED;
	lane->complete = true;
	lane->class = CLASS_NEW;
	lane->queueing = NOT_READY;
	dlist_init(&lane->runnable);
	dlist_init(&lane->flying);
	lane->timer.kind = TIMER_LANE;
	lane->health_timer.kind = TIMER_HEALTH;
	lane->gone_timer.kind = TIMER_GONE;
	return lane;
}

/*
 * Health is to be saved: a second after the last time, or at once if the
 * integration's status changes with it.
 */
static void
lane_dirty(Lane *lane)
{
	TimestampTz due = TimestampTzPlusMilliseconds(lane->saved_at, HEALTH_PERIOD_MS);
	bool		urgent = (lane->failures > 0) != (lane->saved_failures > 0) ||
				  lane->hold_until != lane->saved_hold_until;

	if (lane->dirty_listed)
		return;
	if (lane->saved_at != 0 && due > present && !urgent)
	{
		timer_arm(&lane->health_timer, due);
		return;
	}
	timer_disarm(&lane->health_timer);
	lane_list_dirty(lane);
}

/* Takes over health as the table has it. */
static void
lane_load_health(Lane *lane, const Integration *row)
{
	lane->failures = lane->saved_failures = row->failures;
	lane->failing_since = row->failing_since;
	lane->held_since = row->held_since;
	lane->hold_until = lane->saved_hold_until = row->hold_until;
	lane->blocked_until = row->hold_until;
}

/* Forgets failures and holds. */
static void
lane_recover(Lane *lane)
{
	lane->failures = 0;
	lane->holds = 0;
	lane->failing_since = 0;
	lane->held_since = 0;
	lane->hold_until = 0;
	lane->blocked_until = 0;
}

/* What failed or was put off before is to be tried at once. */
static void
lane_hurry(Lane *lane)
{
	HASH_SEQ_STATUS sequence;
	Post		   *post;
	dlist_iter		iter;

	hash_seq_init(&sequence, posts);
	while ((post = hash_seq_search(&sequence)) != NULL)
	{
		if (post->key.lane != lane)
			continue;
		dlist_foreach (iter, &post->waiting)
			dlist_container(Delivery, node, iter.cur)->next_attempt_at = 0;
		post_update(post);
	}
}

/* Takes over what an integration's row says. */
static void
lane_configure(Lane *lane, const Integration *row, bool is_new)
{
	bool		reconnected = !is_new && lane->updated_at != row->updated_at;
	const char *reason = NULL;

	set_text(&lane->workspace_id, row->workspace_id);
	set_text(&lane->type, row->type);
	set_text(&lane->url, row->webhook_url);
	set_text(&lane->secret, row->secret);
	set_text(&lane->previous_secret, row->previous_secret);
	lane->previous_secret_until = row->previous_secret_until;
	lane->updated_at = row->updated_at;
	lane->channel = channel_find(row->type);
	lane->exists = true;

	if (is_new)
		lane_load_health(lane, row);
	else if (reconnected || row->failures < lane->saved_failures ||
			 (lane->saved_hold_until != 0 && row->hold_until == 0))
	{
		/* connected again, or somebody has tested it with success */
		lane_recover(lane);
		lane_hurry(lane);
		lane->saved_failures = 0;
		lane->saved_hold_until = 0;
		if (reconnected)
			lane_dirty(lane);
	}

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

/* See dispatch.h. */
int
dispatch_integrations(const Integrations *integrations)
{
	HASH_SEQ_STATUS sequence;
	Lane		   *lane;
	int				foreign = 0;

	hash_seq_init(&sequence, lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		lane->seen = false;
	for (int i = 0; i < integrations->count; i++)
	{
		const Integration *row = &integrations->rows[i];
		bool			   is_new;

		lane = lane_of(&row->id);
		is_new = lane->workspace_id == NULL;
		lane->seen = true;
		lane_configure(lane, row, is_new);
		foreign += !row->is_ours;
	}
	hash_seq_init(&sequence, lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
	{
		if (lane->seen)
			continue;
		if (lane->exists)
		{
			lane->exists = false;
			lane_close(lane, "the integration was disconnected");
		}
		else if (lane->state == LANE_CLOSED && lane->in_memory == 0)
			lane_free(lane);
	}
	return foreign;
}

/* See dispatch.h. */
void
dispatch_configure(void)
{
	HASH_SEQ_STATUS sequence;
	Lane		   *lane;

	hash_seq_init(&sequence, lanes);
	while ((lane = hash_seq_search(&sequence)) != NULL)
		lane_update(lane);
}

/* A lane that may not send has rows after all. */
static void
lane_close_again(Lane *lane)
{
	if (lane->state == LANE_CLOSED)
		lane_close(lane, lane->closing_reason ? lane->closing_reason
											  : "the integration was disconnected");
}

/* See dispatch.h. */
void
dispatch_unread(const pg_uuid_t *integration_id, int64 id)
{
	Lane *lane = lane_of(integration_id);

	if (lane->state != LANE_ACTIVE)
	{
		lane_close_again(lane);
		return;
	}
	rewind_lane(lane, id - 1);
	lane_update(lane);
}

/* See dispatch.h. */
void
dispatch_new(const QueueRow *row)
{
	Lane *lane = lane_of(&row->integration_id);

	if (lane->state != LANE_ACTIVE)
	{
		lane_close_again(lane);
		return;
	}
	if (lane_has(lane, row))
		return;
	lane_take_new(lane, row);
	lane_update(lane);
}

/* See dispatch.h. */
Lane *
dispatch_next_hungry(pg_uuid_t *integration_id, int64 *after, int *limit)
{
	Lane *lane;

	if (dlist_is_empty(&hungry_lanes))
		return NULL;
	lane = dlist_head_element(Lane, hungry_node, &hungry_lanes);
	*integration_id = lane->id;
	*after = lane->looking_ahead ? lane->frontier : lane->position;
	*limit =
		lane->looking_ahead ? LOOK_AHEAD : Max(window_size() - lane->loaded, MIN_WINDOW);
	return lane;
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
		if (!lane_has(lane, row))
			lane_load(lane, row);
	}
	lane->frontier = Max(lane->frontier, lane->position);
	if (at_end)
	{
		lane->scanned = true;
		lane->position = lane->frontier;
		set_complete(lane, true);
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

		if (lane_has(lane, row))
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

/* See dispatch.h. */
void
dispatch_rows(Lane *lane, const QueueRows *rows, int limit)
{
	bool at_end = rows->count < limit;

	if (lane->looking_ahead)
		take_look_ahead(lane, rows, at_end);
	else
		take_window(lane, rows, at_end);
	lane_update(lane);
}

/* ------------------------------------------------------------------------
 * Sending
 * ------------------------------------------------------------------------ */

/* See dispatch.h. */
void
dispatch_advance(TimestampTz now)
{
	present = now;
	age_requests();
	while (!pairingheap_is_empty(timers))
	{
		Timer *timer = pairingheap_container(Timer, node, pairingheap_first(timers));
		Post  *post;
		Lane  *lane;

		if (timer->at > now)
			break;
		timer_disarm(timer);
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
				lane = (Lane *) ((char *) timer - offsetof(Lane, gone_timer));
				dlist_push_tail(&gone_lanes, &lane->gone_node);
				lane->gone_listed = true;
				break;
		}
	}
}

/* See dispatch.h. */
Delivery *
dispatch_next(TimestampTz now)
{
	Lane	 *lane = NULL;
	Post	 *post;
	Delivery *delivery;

	present = now;
	if (!setting_delivery)
		return NULL;
	for (int i = 0; i < READY_LISTS && lane == NULL; i++)
	{
		int list = (next_list + i) % READY_LISTS;

		if (!dlist_is_empty(&ready[list]) && slot_free(list))
			lane = dlist_head_element(Lane, ready_node, &ready[list]);
	}
	if (lane == NULL)
		return NULL;
	next_list = (lane->queueing + 1) % READY_LISTS;

	Assert(lane->state == LANE_ACTIVE && lane->in_flight < lane_limit(lane));
	post = dlist_head_element(Post, node, &lane->runnable);
	Assert(post->flying == NULL); /* one at a time */
	delivery = dlist_container(Delivery, node, dlist_pop_head_node(&post->waiting));
	delivery->state = DELIVERY_FLYING;
	delivery->started_at = now;
	delivery->connected_at = lane->updated_at;
	delivery->probe = breaker_open(lane);
	post->flying = delivery;
	if (lane->channel->pace_ms > 0)
		lane->blocked_until =
			Max(lane->blocked_until,
				TimestampTzPlusMilliseconds(now, lane->channel->pace_ms * PACE_MARGIN));
	dlist_push_tail(&lane->flying, &delivery->node);
	dlist_push_tail(&fresh, &delivery->fresh_node);
	lane->in_flight++;
	count_in_flight(lane, 1);
	post_update(post);

	/* to the end of its list */
	dlist_delete(&lane->ready_node);
	lane->queueing = NOT_READY;
	lane_update(lane);
	return delivery;
}

/* See dispatch.h. */
void
dispatch_put_back(Delivery *delivery)
{
	Post	 *post = delivery->post;
	Delivery *merged;

	end_request(delivery);
	while ((merged = take_merged(delivery)) != NULL)
		post_insert(post, merged);
	post_insert(post, delivery);
	post_update(post);
	lane_update(delivery->key.lane);
}

/* See dispatch.h. */
EventKey
dispatch_event(const Delivery *delivery)
{
	return (EventKey){ delivery->event_slot, delivery->event_id };
}

/* A lane's next deliveries without those whose event is loaded: at most limit. */
static int
lane_following(Lane *lane, Delivery **following, int limit)
{
	dlist_iter iter;
	int		   count = 0;

	dlist_foreach (iter, &lane->runnable)
	{
		Post	 *post = dlist_container(Post, node, iter.cur);
		Delivery *next = dlist_head_element(Delivery, node, &post->waiting);

		if (count == limit)
			break;
		if (next->event == NULL)
			following[count++] = next;
	}
	return count;
}

/* See dispatch.h. */
int
dispatch_following(Delivery *const *deliveries, int count, Delivery **following,
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

/* Copies a string to *room, which moves on; NULL stays NULL. */
static const char *
copy_string(char **room, const char *string)
{
	char *copy = *room;

	if (string == NULL)
		return NULL;
	strcpy(copy, string);
	*room += strlen(string) + 1;
	return copy;
}

static Size
string_size(const char *string)
{
	return string ? strlen(string) + 1 : 0;
}

/* See dispatch.h. */
void
dispatch_load(Delivery *delivery, const Event *event)
{
	Size size = sizeof(Event) + string_size(event->name) +
				string_size(event->webhook_id) + string_size(event->payload) +
				string_size(event->context);
	Event *copy;
	char  *room;

	if (delivery->event || loaded_bytes + size > MAX_LOADED_BYTES)
		return;
	copy = MemoryContextAlloc(context, size);
	room = (char *) (copy + 1);
	*copy = *event;
	copy->name = copy_string(&room, event->name);
	copy->webhook_id = copy_string(&room, event->webhook_id);
	copy->payload = copy_string(&room, event->payload);
	copy->context = copy_string(&room, event->context);
	delivery->event = copy;
	loaded_bytes += GetMemoryChunkSpace(copy);
}

/* See dispatch.h. */
Event *
dispatch_loaded(Delivery *delivery)
{
	return take_event(delivery);
}

/* See dispatch.h. */
int
dispatch_mergeable(const Delivery *delivery, EventKey *keys, int limit)
{
	int		   count = 0;
	dlist_iter iter;

	if (!delivery->key.lane->channel->merges || delivery->n_merged > 0)
		return 0;
	keys[0] = dispatch_event(delivery);
	dlist_foreach (iter, &delivery->post->waiting)
	{
		const Delivery *next = dlist_container(Delivery, node, iter.cur);

		if (count == limit || next->next_attempt_at > present)
			break;
		keys[++count] = dispatch_event(next);
	}
	return count >= MERGE_MINIMUM ? count : 0;
}

/* See dispatch.h. */
void
dispatch_merge(Delivery *delivery, int count)
{
	Delivery **end = &delivery->merged;

	if (count < MERGE_MINIMUM)
		return;
	for (int i = 0; i < count; i++)
	{
		Delivery *merged = dlist_container(Delivery, node,
										   dlist_pop_head_node(&delivery->post->waiting));

		merged->state = DELIVERY_FLYING;
		merged->probe = delivery->probe;
		*end = merged;
		end = &merged->next_merged;
	}
	*end = NULL;
	delivery->n_merged = count;
}

/* See dispatch.h. */
int
dispatch_merged(const Delivery *delivery)
{
	return 1 + delivery->n_merged;
}

/* See dispatch.h. */
void
dispatch_endpoint(const Delivery *delivery, TimestampTz now, Endpoint *endpoint)
{
	const Lane *lane = delivery->key.lane;

	endpoint->channel = lane->channel;
	endpoint->url = lane->url;
	endpoint->secret = lane->secret;
	endpoint->previous_secret =
		lane->previous_secret_until > now ? lane->previous_secret : NULL;
}

/* See dispatch.h. */
int
dispatch_in_flight(void)
{
	return in_flight;
}

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

/* An attempt succeeded; only a quick one makes the lane trusted. */
static void
lane_succeeded(Lane *lane, bool quick)
{
	lane->good = quick;
	lane_recover(lane);
	lane->delivered++;
	lane->triggered_at = present;
}

/* The integration is to be made inactive. */
static void
lane_gone(Lane *lane, const char *reason)
{
	if (lane->state != LANE_ACTIVE)
		return;
	lane->state = LANE_LEAVING;
	set_text(&lane->gone_reason, reason);
	if (!lane->gone_listed && !lane->gone_timer.armed)
		dlist_push_tail(&gone_lanes, &lane->gone_node);
	lane->gone_listed = !lane->gone_timer.armed;
}

/*
 * An attempt failed on account of the endpoint.  After too many only probes go
 * out, with growing pauses.
 */
static void
lane_failed(Lane *lane, bool probe)
{
	lane->good = false;
	lane->holds = 0;
	lane->held_since = 0;
	if (lane->failing_since == 0)
		lane->failing_since = present;
	lane->failures++;
	if (!breaker_open(lane))
		lane->probes = 0;
	else if (probe || lane->blocked_until <= present)
		lane->blocked_until = TimestampTzPlusMilliseconds(
			present, backoff(lane->probes++, MAX_PROBE_PAUSE_MS));
	if (present - lane->failing_since >= MAX_FAILING_MS * 1000)
		lane_gone(lane, "every delivery has failed for five days");
}

/* The endpoint asked to wait. */
static void
lane_held(Lane *lane, int64 hold_ms)
{
	if (hold_ms < 0)
		hold_ms = backoff(lane->holds, MAX_HOLD_MS);
	if (lane->held_since == 0)
		lane->held_since = present;
	lane->holds++;
	lane->hold_until = TimestampTzPlusMilliseconds(present, Min(hold_ms, MAX_HOLD_MS));
	lane->blocked_until = Max(lane->blocked_until, lane->hold_until);
}

/* Notes how long an attempt took. */
static void
lane_count_latency(Lane *lane, int duration_ms)
{
	int bucket = 0;

	if (duration_ms < 0)
		return;
	while (bucket < LATENCY_BUCKETS - 1 && duration_ms > queue_latency_bounds[bucket])
		bucket++;
	lane->latency[bucket]++;
	lane->latency_sum += duration_ms;
}

/* True if it has been asked to wait for too long: it then counts as failing. */
static bool
hold_exhausted(const Lane *lane)
{
	return lane->held_since != 0 &&
		   present - lane->held_since > MAX_HOLD_SERIES_MS * 1000;
}

static void
settle_end(Settlement *settlement, const char *state)
{
	settlement->state = state;
	settlement->ends = true;
	settlement->next_attempt_at = 0;
}

static void
settle_wait(Settlement *settlement, TimestampTz until)
{
	settlement->state = "pending";
	settlement->ends = false;
	settlement->next_attempt_at = until;
}

/* A failed attempt: another one after a pause, or that was the last. */
static void
settle_failure(Delivery *delivery, Settlement *settlement)
{
	Lane *lane = delivery->key.lane;
	int	  failures = delivery->probe ? delivery->attempts : ++delivery->attempts;

	lane_failed(lane, delivery->probe);
	if (failures >= setting_max_attempts && !delivery->probe)
	{
		lane->failed++;
		settle_end(settlement, "failed");
		return;
	}
	lane->retried++;
	if (delivery->probe)
		settle_wait(settlement, lane->blocked_until);
	else
		settle_wait(settlement, TimestampTzPlusMilliseconds(
									present, backoff(failures - 1, MAX_RETRY_MS)));
}

/* The endpoint has answered, and will not take this delivery. */
static void
settle_refused(Delivery *delivery, Settlement *settlement)
{
	Lane *lane = delivery->key.lane;

	delivery->attempts++;
	lane->failed++;
	settle_end(settlement, "failed");
}

/* What every settlement starts with. */
static void
settle_begin(Delivery *delivery, Settlement *settlement)
{
	Lane *lane = delivery->key.lane;

	settlement->delivery = delivery;
	settlement->integration_id = lane->id;
	settlement->id = delivery->key.id;
	settlement->xid = delivery->xid;
	settlement->event_slot = delivery->event_slot;
	settlement->event_id = delivery->event_id;
	settlement->workspace_id = lane->workspace_id;
	settlement->type = lane->type;
	settlement->at = present;
}

/* Lets the delivery and, if it is the last, its post and lane go on as the settlement says. */
static void
settle_finish(Delivery *delivery, Settlement *settlement, bool last)
{
	Lane *lane = delivery->key.lane;
	Post *post = delivery->post;

	settlement->attempts = delivery->attempts;
	delivery->settlements++;
	if (settlement->ends)
		delivery_done(delivery);
	else
	{
		delivery->next_attempt_at = settlement->next_attempt_at;
		post_insert(post, delivery);
	}
	/* not before those that went out with it are settled as well */
	if (last)
	{
		post_update(post);
		lane_dirty(lane);
		lane_update(lane);
	}
}

/* See dispatch.h. */
void
dispatch_result(Delivery *delivery, const Verdict *verdict, TimestampTz now,
				Settlement *settlement)
{
	Lane *lane = delivery->key.lane;
	bool  quick = now - delivery->started_at < SLOW_MS * INT64CONST(1000);

	present = now;
	settle_begin(delivery, settlement);
	end_request(delivery);
	if (delivery->connected_at != lane->updated_at && verdict->kind != VERDICT_DELIVERED)
	{
		/* connected again meanwhile: what the old endpoint says concerns nobody */
		settle_wait(settlement, 0);
		settle_finish(delivery, settlement, delivery->merged == NULL);
		return;
	}
	lane->tried = true;
	lane->last_status = settlement->http_status;
	lane_count_latency(lane, settlement->duration_ms);
	set_text(&lane->last_error,
			 verdict->kind == VERDICT_DELIVERED ? NULL : verdict->error);

	switch (verdict->kind)
	{
		case VERDICT_DELIVERED:
			delivery->attempts++;
			lane_succeeded(lane, quick);
			settle_end(settlement, "delivered");
			break;
		case VERDICT_HOLD:
			if (hold_exhausted(lane))
				settle_failure(delivery, settlement);
			else
			{
				lane_held(lane, verdict->hold_ms);
				/* the lane waits; this one goes out as soon as the hold ends, however it ends */
				settle_wait(settlement, 0);
			}
			break;
		case VERDICT_REJECTED:
			/* its own fault, so no reason to distrust the endpoint */
			lane->good = quick;
			lane->failures = Max(lane->failures, 1);
			lane->holds = 0;
			lane->held_since = 0;
			settle_refused(delivery, settlement);
			break;
		case VERDICT_GONE:
			lane_failed(lane, delivery->probe);
			lane_gone(lane, verdict->reason ? verdict->reason : "the endpoint is gone");
			settle_refused(delivery, settlement);
			break;
		case VERDICT_RETRY:
			settle_failure(delivery, settlement);
			break;
	}
	lane->paced = verdict->pace_ms > 0 || lane->channel->pace_ms > 0;
	if (verdict->pace_ms > 0)
		lane->blocked_until =
			Max(lane->blocked_until, TimestampTzPlusMilliseconds(now, verdict->pace_ms));
	settle_finish(delivery, settlement, delivery->merged == NULL);
}

/* A failed attempt of one that went out with another. */
static void
settle_merged_failure(Delivery *delivery, const Settlement *leader,
					  Settlement *settlement)
{
	Lane *lane = delivery->key.lane;

	if (!delivery->probe && ++delivery->attempts >= setting_max_attempts)
	{
		lane->failed++;
		settle_end(settlement, "failed");
		return;
	}
	lane->retried++;
	settle_wait(settlement,
				leader->ends ? TimestampTzPlusMilliseconds(
								   present, backoff(delivery->attempts - 1, MAX_RETRY_MS))
							 : leader->next_attempt_at);
}

/* See dispatch.h. */
bool
dispatch_merged_result(const Settlement *leader, const Verdict *verdict,
					   Settlement *settlement)
{
	Delivery *delivery = take_merged(leader->delivery);

	if (delivery == NULL)
		return false;
	settle_begin(delivery, settlement);
	settlement->http_status = leader->http_status;
	settlement->error = leader->error;
	settlement->response = leader->response;
	settlement->duration_ms = leader->duration_ms;
	/* an answer that counts for nobody: a hold, or of an endpoint that was replaced */
	if (!leader->ends && leader->next_attempt_at == 0)
		settle_wait(settlement, 0);
	else
		switch (verdict->kind)
		{
			case VERDICT_DELIVERED:
				delivery->attempts++;
				delivery->key.lane->delivered++;
				settle_end(settlement, "delivered");
				break;
			case VERDICT_REJECTED:
			case VERDICT_GONE:
				settle_refused(delivery, settlement);
				break;
			case VERDICT_HOLD:
			case VERDICT_RETRY:
				settle_merged_failure(delivery, leader, settlement);
				break;
		}
	settle_finish(delivery, settlement, leader->delivery->merged == NULL);
	return true;
}

/* See dispatch.h. */
void
dispatch_unsendable(Delivery *delivery, char *error, TimestampTz now,
					Settlement *settlement)
{
	Delivery *merged;

	present = now;
	settle_begin(delivery, settlement);
	while ((merged = take_merged(delivery)) != NULL)
		post_insert(delivery->post, merged);
	end_request(delivery);
	settle_refused(delivery, settlement);
	settlement->http_status = 0;
	settlement->error = error;
	settlement->response = NULL;
	settlement->duration_ms = -1;
	settle_finish(delivery, settlement, true);
}

/* See dispatch.h. */
void
dispatch_settled(Settlement *settlement)
{
	Delivery *delivery = settlement->delivery;
	Lane	 *lane = delivery->key.lane;

	Assert(delivery->settlements > 0);
	if (--delivery->settlements > 0 || delivery->state != DELIVERY_DONE)
		return;
	/* dropped when its lane was closed, which has been opened again since */
	if (!settlement->ends && lane->state == LANE_ACTIVE)
	{
		rewind_lane(lane, settlement->id - 1);
		lane_update(lane);
	}
	delivery_free(delivery);
	if (!lane->exists && lane->state == LANE_CLOSED && lane->in_memory == 0)
		lane_free(lane);
}

/* ------------------------------------------------------------------------
 * Health
 * ------------------------------------------------------------------------ */

/* See dispatch.h. */
HealthChange *
dispatch_health(int limit, int *count)
{
	HealthChange *changes;
	dlist_iter	  iter;

	*count = 0;
	if (dlist_is_empty(&dirty_lanes))
		return NULL;
	changes = palloc0(limit * sizeof(HealthChange));
	dlist_foreach (iter, &dirty_lanes)
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

/* See dispatch.h. */
void
dispatch_health_saved(HealthChange *changes, int count, TimestampTz now)
{
	for (int i = 0; i < count; i++)
	{
		HealthChange *change = &changes[i];
		Lane		 *lane = hash_search(lanes, &change->integration_id, HASH_FIND, NULL);

		if (lane == NULL)
			continue;
		Assert(lane->dirty_listed);
		dlist_delete(&lane->dirty_node);
		lane->dirty_listed = false;
		lane->saved_at = now;
		if (!change->saved)
		{
			/* locked: in a second */
			timer_arm(&lane->health_timer,
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

/* See dispatch.h. */
Lane *
dispatch_next_gone(pg_uuid_t *integration_id, TimestampTz *updated_at,
				   const char **reason)
{
	Lane *lane;

	if (dlist_is_empty(&gone_lanes))
		return NULL;
	lane = dlist_head_element(Lane, gone_node, &gone_lanes);
	*integration_id = lane->id;
	*updated_at = lane->updated_at;
	*reason = lane->gone_reason;
	return lane;
}

/* See dispatch.h. */
void
dispatch_deactivated(Lane *lane, Deactivation result, TimestampTz now)
{
	dlist_delete(&lane->gone_node);
	lane->gone_listed = false;
	if (result == DEACTIVATION_LOCKED)
		timer_arm(&lane->gone_timer, TimestampTzPlusMilliseconds(now, LOCKED_MS));
}
