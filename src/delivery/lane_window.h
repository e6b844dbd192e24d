/*
 * lane_window.h
 *		What of a lane's pending rows is in memory.
 */
#ifndef FEATUL_LANE_WINDOW_H
#define FEATUL_LANE_WINDOW_H

#include "delivery/dispatch.h"

typedef struct Post	  Post;
typedef struct Flight Flight;

/* ------------------------------------------------------------------------
 * For the worker
 * ------------------------------------------------------------------------ */

/* What a lane wants to be read: rows after this id, at most so many. */
typedef struct RowsWanted
{
	Lane	 *lane;
	pg_uuid_t integration_id;
	int64	  after;
	int		  limit;
} RowsWanted;

/* Of this integration there are unread rows from this id on. */
extern void window_unread(Dispatch *dispatch, const pg_uuid_t *integration_id, int64 id);

/* A row that has just been committed. */
extern void window_new(Dispatch *dispatch, const QueueRow *row);

/* A lane that needs more rows; false if none does. */
extern bool window_next_wanted(const Dispatch *dispatch, RowsWanted *wanted);

/* Those rows; fewer than the limit: there are no more. */
extern void window_take_rows(const RowsWanted *wanted, const QueueRows *rows);

/* ------------------------------------------------------------------------
 * For the other rooms around lanes
 * ------------------------------------------------------------------------ */

/* True if the lane should read on, and how. */
extern bool window_wants_rows(Lane *lane);

/* Rows after this id are to be read again. */
extern void window_rewind(Lane *lane, int64 id);

/* Drops what the lane has in memory; what is in flight is to be aborted. */
extern void window_empty(Lane *lane);

/* What failed or was put off before may be tried at once. */
extern void window_hurry(Lane *lane);

/* A lane is no longer counted: it is about to be forgotten. */
extern void window_forget(Lane *lane);

/* Puts the post where it belongs.  After every change; it may be gone then. */
extern void post_update(Post *post);

/* Puts a delivery into its post's queue, by id. */
extern void post_insert(Post *post, Delivery *delivery);

/* A delivery goes out with another one's request, and is in flight as that one is. */
extern void flight_merge(Flight *flight, Delivery *delivery);

/*
 * The next of those that went out with a request that is over, or NULL.  *post is its
 * post if that has nothing in flight any more, to be updated once the delivery is where
 * it belongs; else NULL.
 */
extern Delivery *flight_unmerge(Flight *flight, Post **post);

/* Those that were to go out with a request wait again. */
extern void flight_put_back(Flight *flight);

/* Those that go out with a request are to go out by themselves from the next time on. */
extern void flight_part(Flight *flight);

/* Where its event is. */
extern EventKey delivery_event(const Delivery *delivery);

/* Ends a delivery's presence in its lane's window. */
extern void delivery_done(Delivery *delivery);

/* Forgets a delivery that is in no list any more. */
extern void delivery_free(Delivery *delivery);

#endif /* FEATUL_LANE_WINDOW_H */
