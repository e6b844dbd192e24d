/*
 * world.h
 *		A world for what decides about deliveries (src/delivery/lane.h): endpoints, a
 *		queue, and time, without network, tables or waiting.
 *
 * What the worker does with dispatch is done here step by step, and at each step
 * checked: the order of each post, one at a time, the bounds.  A violation is an ERROR.
 */
#ifndef FEATUL_WORLD_H
#define FEATUL_WORLD_H

#include "lib/pairingheap.h"

#include "delivery/lane.h"
#include "delivery/lane_health.h"
#include "delivery/lane_roster.h"
#include "delivery/lane_window.h"
#include "delivery/outcome.h"

#define MS INT64CONST(1000)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* A row of the queue. */
typedef struct Row
{
	QueueRow row;
	Moment	 queued_at;
	bool	 in_flight;
	int64	 message; /* the latest that it went out with */
	bool	 is_done; /* only the record of it is outstanding */
} Row;

typedef enum Nature
{
	GOOD,	 /* takes it after its time */
	NOISY,	 /* likewise, or up to five times as late */
	HANGING, /* never answers: timed out */
	FAILING, /* fails after its time */
	MOODY	 /* takes any time and answers anything */
} Nature;

/* An integration, its endpoint, and its part of the queue. */
typedef struct Site
{
	Integration integration;
	int			index;
	Nature		nature;
	int64		response;	 /* how long it takes (us) */
	int64		interval;	 /* between events; 0: none */
	int			backlog;	 /* so many are always pending */
	int			posts;		 /* events are about so many */
	int			kinds;		 /* and of so many kinds; 0: not known */
	bool		is_observed; /* how long its deliveries take is kept */
	Moment		next_event;
	bool		is_gone; /* disconnected */
	Row		   *rows;	 /* by id */
	int			count;
	int			room;
	int			in_flight;
	int64		ended;
	int64	   *took; /* since it was queued (us) */
	int			n_took;
} Site;

/* An answer on its way. */
typedef struct Answer
{
	pairingheap_node node;
	Moment			 at;
	Moment			 started_at;
	Delivery		*delivery;
	Site			*site;
	bool			 aborted;
} Answer;

typedef struct World
{
	MemoryContext context;
	Dispatch	 *dispatch;
	Moment		  now;
	TimestampTz	  time_offset; /* time of day, less now */
	uint64		  random;
	Site		 *sites;
	int			  n_sites;
	pairingheap	 *answers;
	List		 *in_flight; /* of Answer */
	List		 *unsettled; /* of Settlement */
	int64		  last_id;
	int64		  steps;
	int64		  sent;
	int64		  merged; /* deliveries that went out with another one */
	int64		  ended;
	int			  most_in_flight;
} World;

extern World *world_create(uint64 seed, int n_sites);
extern void	  world_destroy(World *world);

/* A number from 0 to below n. */
extern int64 world_random(World *world, int64 n);

/* An event of a site, about a post (-1: any). */
extern void world_queue(World *world, Site *site, int64 post);

/* The process starts anew: only what tables know is left. */
extern void world_restart(World *world);

/* Takes over what the sites' integrations say. */
extern void world_configure(World *world);

/* Goes on to when something happens next, and lets it happen. */
extern void world_step(World *world);

/* Steps until so much time has passed. */
extern void world_run(World *world, int64 us);

/* Takes what is to be sent now: hands the deliveries out instead of sending them. */
extern Delivery *world_take(World *world);

/* What came of one that was taken; hold_ms is -1 where no time was said. */
extern void world_answer(World *world, Delivery *delivery, VerdictKind kind,
						 int64 hold_ms);
extern void world_settle(World *world, Delivery *delivery, const Verdict *verdict);

/* Time passes, without anything sent. */
extern void world_pass(World *world, int64 us);

/* The per cent of the deliveries that took at most the result (us); 0 without any. */
extern int64 world_percentile(Site *site, double per_cent);

/* An ERROR unless it holds. */
#define CHECK(condition, ...)                                                            \
	do                                                                                   \
	{                                                                                    \
		if (!(condition))                                                                \
			elog(ERROR, __VA_ARGS__);                                                    \
	} while (0)

extern void scenarios_run(void);

#endif /* FEATUL_WORLD_H */
