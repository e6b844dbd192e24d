/*
 * lane.h
 *		What is known of integrations and their pending deliveries in memory, and
 *		how the lanes share what can be in flight.
 *
 * Each integration is a lane.  Of its pending rows a bounded window is in
 * memory; inside it there is one queue per post, of which one delivery at a
 * time is in flight.  The rooms around it, of which only these look inside the
 * structs: lane_roster (which lanes there are), lane_window (what is in memory),
 * lane_health (failures, holds, the breaker), dispatch (what goes out next),
 * outcome (what an answer means).
 *
 * All state is in a memory context of its own and can be thrown away at any
 * time: the tables know everything that matters.  Nothing in these rooms does
 * I/O or needs a transaction; the only error that may be raised is out of memory,
 * after which the state must be thrown away.
 */
#ifndef FEATUL_LANE_H
#define FEATUL_LANE_H

#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "utils/hsearch.h"

#include "delivery/dispatch.h"
#include "delivery/table_health.h"

/* A request in flight for longer makes its lane suspect (ms). */
#define SLOW_MS 1000

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
typedef enum ReadyList
{
	READY_IDLE, /* trusted, nothing in flight */
	READY_BUSY, /* trusted */
	READY_NEW,
	READY_SUSPECT,
	READY_LISTS,
	NOT_READY = READY_LISTS
} ReadyList;

/* A post of a lane with deliveries in memory. */
typedef struct PostKey
{
	Lane  *lane;
	uint64 post;
} PostKey;

typedef struct Post
{
	PostKey	   key;		  /* hash key */
	dlist_head waiting;	  /* deliveries by id */
	Delivery  *in_flight; /* or NULL */
	bool	   runnable;  /* in the lane's list */
	bool	   skipped;	  /* has pending rows beyond those in memory */
	dlist_node node;	  /* in the lane's runnable */
	Timer	   timer;	  /* until its first delivery may be tried */
} Post;

typedef enum DeliveryState
{
	DELIVERY_WAITING,
	DELIVERY_IN_FLIGHT,
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
	EventKey	  event;
	int			  attempts;
	int			  settlements; /* not recorded yet */
	bool		  probe;	   /* uses up no attempt */
	bool		  slow;		   /* in flight for longer than SLOW_MS */
	bool		  announced;   /* see dispatch_following() */
	TimestampTz	  next_attempt_at;
	TimestampTz	  started_at;
	TimestampTz	  connected_at; /* the lane's updated_at when it was started */
	int			  n_merged;		/* others that go out with it */
	Delivery	 *merged;		/* the first of them */
	Delivery	 *next_merged;	/* of one that goes out with another */
	Post		 *post;			/* NULL once done */
	dlist_node	  node;			/* WAITING: in post's; to be aborted: in aborts */
	dlist_node	  recent_node;	/* IN_FLIGHT and not slow: by start */
};

struct Lane
{
	pg_uuid_t id; /* hash key */
	Dispatch *dispatch;
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
	bool	   to_follow;	  /* see dispatch_following() */
	bool	   wants_rows;
	dlist_node wants_rows_node;

	/* sharing */
	LaneClass class;
	bool		tried;
	bool		good; /* its last attempt succeeded, and quickly */
	int			in_flight;
	int			n_slow;
	ReadyList	ready_list;
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

struct Dispatch
{
	MemoryContext context; /* of all of it */
	TimestampTz	  now;	   /* the time of this call, more or less */
	HTAB		 *lanes;
	HTAB		 *posts;
	HTAB		 *deliveries;
	pairingheap	 *timers;
	dlist_head	  ready[READY_LISTS];
	int			  next_list; /* whose turn it is */
	dlist_head	  recent;	 /* deliveries in flight and not slow, by start */
	dlist_head	  wants_rows;
	dlist_head	  dirty;
	dlist_head	  gone;
	dlist_head	  closing;
	dlist_head	  aborts; /* deliveries in flight that must not be */
	int			  in_flight;
	int			  doubtful_in_flight; /* of new and suspect lanes */
	int			  suspect_in_flight;
	int			  n_incomplete; /* lanes that are not complete */
};

extern void timer_arm(Dispatch *dispatch, Timer *timer, TimestampTz at);
extern void timer_disarm(Dispatch *dispatch, Timer *timer);

/* pairingheap_comparator: the earliest first. */
extern int timer_compare(const pairingheap_node *a, const pairingheap_node *b,
						 void *unused);

/* A lane that is not known otherwise: closed.  What lane points to is new, but for its id. */
extern void lane_init(Lane *lane, Dispatch *dispatch);

/* Replaces a text of a lane if it differs; NULL is no text. */
extern void lane_set_text(Lane *lane, char **target, const char *value);

/* Puts the lane into the lists where it belongs.  After every change. */
extern void lane_update(Lane *lane);

/* How many requests the lane may have in flight. */
extern int lane_limit(const Lane *lane);

/* Adds to the counts of requests in flight. */
extern void lane_count_in_flight(Lane *lane, int requests);

/* True if there is room in flight for a lane of this list. */
extern bool capacity_free(const Dispatch *dispatch, ReadyList list);

/* Requests that have been in flight for too long make their lanes suspect. */
extern void capacity_age_requests(Dispatch *dispatch);

#endif /* FEATUL_LANE_H */
