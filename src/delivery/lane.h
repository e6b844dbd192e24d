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

#include "base/clock.h"
#include "base/settings.h"
#include "delivery/dispatch.h"
#include "delivery/table_health.h"

/* More than max_in_flight_per_integration can be. */
#define LANE_MAX_ALLOWED SETTING_MAX_IN_FLIGHT_BOUND

/* Bound of the pause between attempts, whatever the settings multiply to. */
#define LANE_MAX_RETRY_MS (INT64CONST(7) * 24 * 3600 * 1000)

typedef enum TimerKind
{
	TIMER_POST,	  /* a post's next delivery may be tried again */
	TIMER_LANE,	  /* a lane may send again */
	TIMER_TIER,	  /* lanes with a backlog of a tier may start again */
	TIMER_HEALTH, /* a lane's health is to be saved */
	TIMER_GONE	  /* a lane is to be deactivated */
} TimerKind;

typedef struct Timer
{
	pairingheap_node node;
	TimerKind		 kind;
	bool			 armed;
	Moment			 at;
} Timer;

typedef enum LaneState
{
	LANE_ACTIVE,
	LANE_LEAVING, /* to be made inactive */
	LANE_CLOSING, /* its pending rows are to be cancelled */
	LANE_CLOSED	  /* inactive, nothing pending as far as known */
} LaneState;

/*
 * How long a lane's requests are expected to hold what can be in flight: by how
 * long its latest answers took, and by the age of what is in flight.
 */
typedef enum Tier
{
	TIER_FAST,
	TIER_MEDIUM,
	TIER_UNHURRIED,
	TIER_SLOW,
	TIER_NEW, /* never tried, or doubted: see lane_doubted() */
	TIER_HANGING,
	TIERS
} Tier;

/* Ages that a request passes (TIER_FAST has none). */
#define AGES 5

/*
 * Of each tier, lanes that could send stand in one of two lists, each of which goes
 * round: those with little pending, and those with a backlog.
 */
typedef enum Load
{
	LOAD_LIGHT,
	LOAD_BACKLOG,
	LOADS
} Load;

typedef struct Post Post;

/* A post of a lane with deliveries in memory. */
typedef struct PostKey
{
	Lane  *lane;
	uint64 post;
} PostKey;

typedef struct Flight Flight;

struct Post
{
	PostKey	   key;		  /* hash key */
	dlist_head waiting;	  /* deliveries by id */
	Delivery  *in_flight; /* or NULL; of those that go out together its first */
	dlist_node lane_node; /* in the lane's posts */
	dlist_node node;	  /* in the lane's runnable */
	Timer	   timer;	  /* until its first delivery may be tried */
	bool	   runnable;  /* in the lane's list */
	bool	   skipped;	  /* has pending rows beyond those in memory */
};

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

/* There can be tens of thousands: small. */
struct Delivery
{
	DeliveryKey key; /* hash key */
	uint64		xid;
	int64		event_id;
	Moment		next_attempt_at; /* 0: at once */
	Post	   *post;			 /* NULL once done */
	Flight	   *flight;			 /* IN_FLIGHT, the first of those that go out together */
	dlist_node
		node; /* WAITING: in post's; merged: in the flight's; to be aborted: in aborts */
	int attempts;
	int16 settlements; /* not recorded yet */
	int16 event_partition;
	uint8 state;	 /* DeliveryState */
	uint8 kind;		 /* EventKind; EVENT_COUNT: not known */
	bool  alone;	 /* goes out with no other */
	bool  tried;	 /* since it is in memory */
	bool  announced; /* see dispatch_following() */
};

/* A request in flight. */
struct Flight
{
	Delivery  *delivery;
	dlist_node node; /* in the list of those of its age, by start */
	int		   age;
	bool	   probe;		   /* uses up no attempt */
	bool	   surprises;	   /* takes longer than was to be expected, */
	bool	   surprises_anew; /* which nothing had led to expect: in the list of these */
	dlist_node surprise_node;
	Moment	   started_at;
	TimestampTz connected_at; /* the lane's updated_at then */
	int			n_merged;
	dlist_head	merged; /* deliveries that go out with it, each post's by id */
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
	dlist_head posts;		  /* that have deliveries in memory */
	dlist_head runnable;	  /* posts that can send */
	bool	   to_follow;	  /* see dispatch_following() */
	bool	   wants_rows;
	dlist_node wants_rows_node;

	/* sharing */
	Tier	   tier;
	int		   response_ms; /* expected, after its latest answers; -1: never tried */
	Moment	   answered_at; /* its latest answer that was no surprise */
	int		   in_flight;
	int		   aged[AGES]; /* of them, by age */
	int		   allowed;	   /* how many there may be: fewer after each failure */
	bool	   listed;	   /* in the list of its tier and load: */
	Tier	   ready_tier;
	Load	   ready_load;
	dlist_node ready_node;
	bool	   paced;	   /* its channel asks for pauses: one at a time */
	Moment	   pace_until; /* nothing starts before this, */
	Moment	   probe_at;   /* this (the breaker is open) */
	Moment	   hold_until; /* and this */
	Timer	   timer;

	/* health; what changes a state says nothing about those that are younger than its request */
	int failures; /* in a row */
	Moment
		turned_at; /* when it began to fail, or to succeed again; 0: before all requests */
	int			probes;		   /* since only probes go out */
	int			holds;		   /* answers of 429 or 503 in a row, parallel ones once */
	Moment		held_since;	   /* the first of them; 0: none */
	Moment		held_at;	   /* the latest */
	Moment		failing_since; /* 0: not failing */
	uint32		failing_days;  /* bit n: several attempts failed on day n since */
	int			failing_day;   /* the day that is counted, and the failures on it */
	int			failures_that_day;
	int			last_status;
	char	   *last_error;
	TimestampTz triggered_at; /* since it was saved */
	int64		delivered;	  /* likewise */
	int64		failed;
	int64		retried;
	int64		latency[LATENCY_BUCKETS];
	int64		latency_sum;
	int			saved_failures; /* as the table has it */
	bool		told_failing;	/* likewise */
	Moment		saved_hold;		/* likewise: hold_until */
	Moment		saved_at;
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

/* A hold that is for all integrations of a channel. */
typedef struct ChannelHold
{
	const Channel *channel; /* NULL: no such hold */
	Moment		   until;
} ChannelHold;

#define CHANNEL_HOLDS 4

struct Dispatch
{
	MemoryContext context; /* of all of it */
	Moment		  now;	   /* the time of this call, more or less */
	TimestampTz	  time;	   /* likewise, time of day */
	HTAB		 *lanes;
	HTAB		 *posts;
	HTAB		 *deliveries;
	pairingheap	 *timers;
	dlist_head	  ready[TIERS][LOADS];
	int			  next_tier[LOADS];	  /* whose turn it is */
	Moment		  paced_until[TIERS]; /* see tier_pace() */
	Timer		  tier_timers[TIERS];
	int			  turn;
	bool newest; /* of TIER_NEW the latest is next, not the one that waits longest */
	dlist_head	flights[AGES];	 /* requests by age, and each by start */
	int			n_surprises;	 /* requests that take longer than was to be expected */
	int			n_new_surprises; /* of them, those of lanes that were not doubted */
	dlist_head	new_surprises;
	Moment		doubted_at;	 /* when lanes began to be doubted the last time; 0: never */
	Moment		doubt_since; /* who has not answered since is doubted; 0: nobody is */
	int			in_flight;
	int			tier_in_flight[TIERS];
	ChannelHold channel_holds[CHANNEL_HOLDS];
	dlist_head	wants_rows;
	dlist_head	dirty;
	dlist_head	gone;
	dlist_head	closing;
	dlist_head	aborts;		  /* deliveries in flight that must not be */
	int			n_incomplete; /* lanes that are not complete */
	int			loaded;		  /* deliveries in memory, without the done ones */
};

/* A stored time of day as a moment, which may be past, within bounds; 0 stays 0. */
extern Moment dispatch_moment(const Dispatch *dispatch, TimestampTz time, int64 past_ms,
							  int64 future_ms);
extern TimestampTz dispatch_time(const Dispatch *dispatch, Moment moment);

extern void timer_arm(Dispatch *dispatch, Timer *timer, Moment at);
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

/* Takes the lane out of the list of those that could send. */
extern void lane_unlist(Lane *lane);

/* Nothing of the lane starts before this. */
extern Moment lane_blocked_until(const Lane *lane);

/* How many requests the lane may have in flight. */
extern int lane_limit(const Lane *lane);

/*
 * A request of a delivery begins; it is over, whatever came of it: the caller frees
 * what is known of it, and lets the posts go on of those that went out with it.
 */
extern void	   lane_begin_request(Lane *lane, Delivery *delivery, bool probe);
extern Flight *lane_end_request(Delivery *delivery);

/* An answer has come, or the time-out, of a request that is over: what is to be expected. */
extern void lane_answered(Lane *lane, const Flight *flight);

/* The lane whose turn it is to send, or NULL; the second takes the turn. */
extern Lane *capacity_peek(const Dispatch *dispatch);
extern Lane *capacity_next(Dispatch *dispatch);

/* Requests that have been in flight for long move their lanes to where they belong. */
extern void capacity_age_requests(Dispatch *dispatch);

#endif /* FEATUL_LANE_H */
