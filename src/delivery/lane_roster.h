/*
 * lane_roster.h
 *		Which lanes there are: their beginning, their configuration, their end.
 */
#ifndef FEATUL_LANE_ROSTER_H
#define FEATUL_LANE_ROSTER_H

#include "delivery/dispatch.h"
#include "delivery/table_health.h"

/* ------------------------------------------------------------------------
 * For the worker
 * ------------------------------------------------------------------------ */

/*
 * Takes over the integrations.  Lanes that may not send any more are closing:
 * see roster_next_closing().
 */
extern void roster_take(Dispatch *dispatch, const Integrations *integrations);

/* Likewise for those of these ids alone; one that is not among the rows is gone. */
extern void roster_take_changed(Dispatch *dispatch, const Integrations *integrations,
								const pg_uuid_t *ids, int count);

/*
 * An integration that is gone, of which there may have been no lane: what it has
 * left is removed.
 */
extern void roster_take_gone(Dispatch *dispatch, const pg_uuid_t *id);

/* Takes one that is in flight and must be aborted; NULL if there is none. */
extern Delivery *roster_next_abort(Dispatch *dispatch);

/* A lane whose pending rows are to be cancelled. */
typedef struct ClosingLane
{
	Lane	   *lane;
	pg_uuid_t	integration_id;
	const char *reason;
} ClosingLane;

/* False if there is none.  The next call gives another one, if there is. */
extern bool roster_next_closing(const Dispatch *dispatch, ClosingLane *closing);

/* So many were cancelled, of at most limit. */
extern void roster_cancelled(Lane *lane, int count, int limit);

/* ------------------------------------------------------------------------
 * For the other rooms around lanes
 * ------------------------------------------------------------------------ */

/* The lane of an integration, made if need be: of an unknown one, closed. */
extern Lane *roster_lane(Dispatch *dispatch, const pg_uuid_t *integration_id);

/* A lane that may not send has rows after all. */
extern void roster_close_again(Lane *lane);

/* Forgets the lane if nothing is left of it. */
extern void roster_forget(Lane *lane);

#endif /* FEATUL_LANE_ROSTER_H */
