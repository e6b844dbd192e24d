/*
 * dispatch.h
 *		Lanes, order, retries, health: decides, and does no I/O of its own.
 *
 * Each integration is a lane.  Of its pending rows a bounded window is in
 * memory; inside it there is one queue per post, of which one delivery at a
 * time is under way.  The worker feeds rows in, takes deliveries out to send
 * them, says what came of them and takes settlements out to record them.
 *
 * All state is in a memory context of its own and can be thrown away at any
 * time: the tables know everything that matters.  Nothing here needs a
 * transaction; the only error that may be raised is out of memory, after which
 * the state must be thrown away.
 */
#ifndef FEATUL_DISPATCH_H
#define FEATUL_DISPATCH_H

#include "delivery/queue.h"

typedef struct Lane		Lane;
typedef struct Delivery Delivery;

/* Starts with nothing, forgetting all there was. */
extern void dispatch_reset(void);

/* Takes over the settings; on every reload of the configuration. */
extern void dispatch_configure(void);

/* ------------------------------------------------------------------------
 * What there is to do
 * ------------------------------------------------------------------------ */

/*
 * Takes over the integrations.  Returns how many are not of this database.
 * Lanes that may not send any more are closing: see dispatch_next_closing().
 */
extern int dispatch_integrations(const Integrations *integrations);

/* Of this integration there are unread rows from this id on. */
extern void dispatch_unread(const pg_uuid_t *integration_id, int64 id);

/* A row that has just been committed. */
extern void dispatch_new(const QueueRow *row);

/* A lane that needs more rows: what to read.  NULL if none does. */
extern Lane *dispatch_next_hungry(pg_uuid_t *integration_id, int64 *after, int *limit);

/* Those rows; fewer than the limit: there are no more. */
extern void dispatch_rows(Lane *lane, const QueueRows *rows, int limit);

/* ------------------------------------------------------------------------
 * Sending
 * ------------------------------------------------------------------------ */

/* Lets go on what has waited until now. */
extern void dispatch_advance(TimestampTz now);

/* When dispatch_advance() is due; 0: not at all. */
extern TimestampTz dispatch_due(void);

/* The next delivery to send, which counts as in flight from then on, or NULL. */
extern Delivery *dispatch_next(TimestampTz now);

/* Takes it back: it could not be sent now, for no fault of its own. */
extern void dispatch_put_back(Delivery *delivery);

extern EventKey dispatch_event(const Delivery *delivery);

/*
 * The deliveries that the lanes of these will send next, without those whose
 * event is loaded: at most limit in all.  Returns how many.
 */
extern int dispatch_following(Delivery *const *deliveries, int count,
							  Delivery **following, int limit);

/* Keeps a copy of its event with a delivery, unless too much is kept already. */
extern void dispatch_load(Delivery *delivery, const Event *event);

/* The event kept with a delivery, the caller's to pfree from now on; or NULL. */
extern Event *dispatch_loaded(Delivery *delivery);

/*
 * How many of the deliveries after this one, about the same post, could go out
 * in one message with it, and where the events of them are, its own first (so
 * keys has room for limit + 1).  0 if they are too few to matter.
 */
extern int dispatch_mergeable(const Delivery *delivery, EventKey *keys, int limit);

/* So many of them go out with it. */
extern void dispatch_merge(Delivery *delivery, int count);

/* How many deliveries its request stands for. */
extern int dispatch_merged(const Delivery *delivery);

/* Where it goes; valid until the next dispatch_integrations(). */
extern void dispatch_endpoint(const Delivery *delivery, TimestampTz now,
							  Endpoint *endpoint);

extern int dispatch_in_flight(void);

/* Takes one that is in flight and must be aborted; NULL if there is none. */
extern Delivery *dispatch_next_abort(void);

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

/*
 * What came of a delivery that was in flight: its consequences, and the
 * settlement (whose texts are the caller's).
 */
extern void dispatch_result(Delivery *delivery, const Verdict *verdict, TimestampTz now,
							Settlement *settlement);

/*
 * After that, until it returns false: the settlement of the next of those that
 * went out with it, which is like its own.
 */
extern bool dispatch_merged_result(const Settlement *leader, const Verdict *verdict,
								   Settlement *settlement);

/* It cannot even be tried: failed, at once. */
extern void dispatch_unsendable(Delivery *delivery, char *error, TimestampTz now,
								Settlement *settlement);

/* The settlement is recorded. */
extern void dispatch_settled(Settlement *settlement);

/* ------------------------------------------------------------------------
 * Health and the end of lanes
 * ------------------------------------------------------------------------ */

/*
 * Changes of health that are due to be saved (palloc'd): at most limit.
 * dispatch_health_saved() takes them back, saved or not.
 */
extern HealthChange *dispatch_health(int limit, int *count);
extern void dispatch_health_saved(HealthChange *changes, int count, TimestampTz now);

/* An integration that is to be made inactive; NULL if none. */
extern Lane *dispatch_next_gone(pg_uuid_t *integration_id, TimestampTz *updated_at,
								const char **reason);
extern void	 dispatch_deactivated(Lane *lane, Deactivation result, TimestampTz now);

/*
 * A lane whose pending rows are to be cancelled, with the reason; NULL if
 * none.  The next call gives another one, if there is.
 */
extern Lane *dispatch_next_closing(pg_uuid_t *integration_id, const char **reason);

/* So many were cancelled, of at most limit. */
extern void dispatch_cancelled(Lane *lane, int count, int limit);

#endif /* FEATUL_DISPATCH_H */
