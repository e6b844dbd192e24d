/*
 * lane_health.h
 *		How a lane's endpoint fares: failures, holds, the breaker, and what of it
 *		is to be saved.
 */
#ifndef FEATUL_LANE_HEALTH_H
#define FEATUL_LANE_HEALTH_H

#include "delivery/dispatch.h"
#include "delivery/table_health.h"

typedef struct Flight Flight;

/* ------------------------------------------------------------------------
 * For the worker
 * ------------------------------------------------------------------------ */

/* True if there are changes of health to be saved. */
extern bool lane_health_is_due(const Dispatch *dispatch);

/*
 * Changes of health that are due to be saved (palloc'd): at most limit.
 * lane_health_saved() takes them back, saved or not.
 */
extern HealthChange *lane_health_due(Dispatch *dispatch, int limit, int *count);
extern void lane_health_saved(Dispatch *dispatch, HealthChange *changes, int count);

/* An integration that is to be made inactive. */
typedef struct GoneLane
{
	Lane	   *lane;
	pg_uuid_t	integration_id;
	const char *workspace_id;
	const char *type;
	TimestampTz updated_at;
	const char *reason;
} GoneLane;

/* False if there is none. */
extern bool lane_next_gone(const Dispatch *dispatch, GoneLane *gone);
extern void lane_deactivated(Lane *lane, Deactivation result);

/* ------------------------------------------------------------------------
 * For the other rooms around lanes
 * ------------------------------------------------------------------------ */

/* True if only probes go out. */
extern bool lane_breaker_open(const Lane *lane);

/* retry_delay doubled n times, bounded, with jitter (ms). */
extern int64 lane_backoff(int n, int64 bound);

/*
 * What came of a request changes nothing that is younger than the request.
 *
 * It succeeded.
 */
extern void lane_succeeded(Lane *lane, const Flight *flight);

/*
 * The endpoint has refused a message on account of the message: it is there, and its
 * latest attempt failed.
 */
extern void lane_refused(Lane *lane, const Flight *flight);

/*
 * An attempt failed on account of the endpoint.  After too many only probes go
 * out, with growing pauses.
 */
extern void lane_failed(Lane *lane, const Flight *flight);

/*
 * The endpoint asked to wait (-1: for as long as after a failure).  Several requests
 * of the same time that are told so are one hold.  Returns how long this answer by itself
 * asks for: an older hold of the lane may be longer.
 */
extern Moment lane_held(Lane *lane, const Flight *flight, int64 hold_ms);

/* True if it has been asked to wait for too long: it then counts as failing. */
extern bool lane_hold_exhausted(const Lane *lane);

/* The integration is to be made inactive; it is not, after all. */
extern void lane_leave(Lane *lane, const char *reason);
extern void lane_stay(Lane *lane);

/* Notes how long an attempt took. */
extern void lane_count_latency(Lane *lane, int duration_ms);

/* Takes over health as the table has it. */
extern void lane_load_health(Lane *lane, const Integration *row);

/* Forgets failures and holds. */
extern void lane_recover(Lane *lane);

/*
 * Health is to be saved: a second after the last time, or at once if the
 * integration's status changes with it, as the application sees it or is told.
 */
extern void lane_dirty(Lane *lane);

/* Its time to be saved, or to be made inactive, has come. */
extern void lane_list_dirty(Lane *lane);
extern void lane_list_gone(Lane *lane);

/* What is still to be saved is to be saved now. */
extern void lane_save_soon(Lane *lane);

#endif /* FEATUL_LANE_HEALTH_H */
