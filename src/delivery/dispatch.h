/*
 * dispatch.h
 *		What goes out next.
 *
 * The worker feeds rows in (lane_window.h), takes deliveries out to send them,
 * says what came of them and takes settlements out to record them (outcome.h).
 * lane.h tells how all of it hangs together.
 */
#ifndef FEATUL_DISPATCH_H
#define FEATUL_DISPATCH_H

#include "base/clock.h"
#include "delivery/table_queue.h"

typedef struct Dispatch Dispatch;
typedef struct Lane		Lane;
typedef struct Delivery Delivery;

/* With nothing in memory, in a context of its own.  The first time is to be told next. */
extern Dispatch *dispatch_create(void);
extern void		 dispatch_destroy(Dispatch *dispatch); /* NULL will do */

/* Takes over the settings; on every reload of the configuration. */
extern void dispatch_configure(Dispatch *dispatch);

/*
 * What time it is: on the monotonic clock, which all that waits goes by, and of day.
 * Before anything else whenever time may have passed.
 */
extern void dispatch_set_time(Dispatch *dispatch, Moment now, TimestampTz time);

/* Lets go on what has waited until now. */
extern void dispatch_advance(Dispatch *dispatch);

/* When dispatch_advance() is due; 0: not at all. */
extern Moment dispatch_due(const Dispatch *dispatch);

/*
 * Until when all integrations of a channel are held (0: not at all), and that they
 * are: several processes share such a hold.
 */
extern Moment dispatch_channel_hold(const Dispatch *dispatch, const Channel *channel);
extern void	  dispatch_hold_channel(Dispatch *dispatch, const Channel *channel,
									Moment until);

/* How many requests are in flight. */
extern int dispatch_in_flight(const Dispatch *dispatch);

/* Events that one message tells. */
#define MAX_TOLD 50

/* A delivery that is to be sent. */
typedef struct Outgoing
{
	Delivery *delivery; /* comes back with what came of it; its request's tag */
	int64	  id;
	EventKey  event;
	Endpoint  endpoint; /* valid until the roster changes */
	int		  count;	/* deliveries that it stands for */
	int		  posts;	/* that these are about */
	int		  n_told;	/* events that are told together, instead of its own: */
	EventKey  told[MAX_TOLD];
	bool	  may_take; /* see dispatch_take() */
} Outgoing;

/* True if there is one to send now. */
extern bool dispatch_ready(const Dispatch *dispatch);

/*
 * The next delivery to send, which counts as in flight from then on; false if none.
 * To people, many of one event become one message; what used up an attempt together is
 * tried again together.
 */
extern bool dispatch_next(Dispatch *dispatch, Outgoing *outgoing);

/*
 * If it may take them: it is a comment, told first, and then come the mentions that are
 * next on its post, of whichever comment.  The first so many of these go out with it, as
 * they belong to it, and the others are not told.
 */
extern void dispatch_take(Outgoing *outgoing, int count);

/* Takes it back: it could not be sent now, for no fault of its own. */
extern void dispatch_put_back(Delivery *delivery);

/* Likewise, with those that were to go out with it: each is to be sent by itself. */
extern void dispatch_put_back_alone(Delivery *delivery);

/* What will be sent next. */
typedef struct Following
{
	int64	 id;
	EventKey event;
} Following;

/*
 * What the lanes of these will send next and has not been announced like this
 * before: at most limit in all.  Returns how many.
 */
extern int dispatch_following(Delivery *const *deliveries, int count,
							  Following *following, int limit);

#endif /* FEATUL_DISPATCH_H */
