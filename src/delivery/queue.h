/*
 * queue.h
 *		The worker's view of the tables, through SPI.  Knows no libcurl.
 *
 * Everything here runs between queue_begin() and queue_commit() and may raise
 * any error; the caller then aborts the transaction.  Results are palloc'd in
 * the context that was current at queue_begin().
 */
#ifndef FEATUL_QUEUE_H
#define FEATUL_QUEUE_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "channel/channel.h"

/* A pending delivery: a row of queue. */
typedef struct QueueRow
{
	pg_uuid_t	integration_id;
	int64		id;
	uint64		xid;
	int64		event_id;
	uint64		post; /* a hash of the post's id: collisions only serialize */
	int			event_slot;
	int			attempts;
	TimestampTz next_attempt_at; /* 0: at once */
} QueueRow;

typedef struct QueueRows
{
	int		  count;
	QueueRow *rows;
} QueueRows;

/* An integration with unread rows from this id on. */
typedef struct QueueMark
{
	pg_uuid_t integration_id;
	int64	  id;
} QueueMark;

typedef struct QueueMarks
{
	int		   count;
	QueueMark *marks;
} QueueMarks;

/* An integration with its health. */
typedef struct Integration
{
	pg_uuid_t	id;
	char	   *workspace_id;
	char	   *type;
	char	   *webhook_url;
	char	   *secret;			 /* or NULL */
	char	   *previous_secret; /* or NULL */
	TimestampTz previous_secret_until;
	bool		is_active;
	bool		is_ours;		 /* connected in this database, not restored or copied */
	char	   *inactive_reason; /* or NULL */
	TimestampTz updated_at;
	int			failures;
	TimestampTz failing_since; /* 0: not failing */
	TimestampTz held_since;	   /* 0: not held */
	TimestampTz hold_until;
} Integration;

typedef struct Integrations
{
	int			 count;
	Integration *rows;
} Integrations;

/* Where an event is. */
typedef struct EventKey
{
	int	  slot;
	int64 id;
} EventKey;

/* What an attempt came to. */
typedef struct Settlement
{
	struct Delivery *delivery;
	pg_uuid_t		 integration_id;
	int64			 id;
	uint64			 xid;
	int				 event_slot;
	int64			 event_id;
	const char		*workspace_id;
	const char		*type;
	const char		*state; /* as in attempt.state */
	bool			 ends;	/* the row leaves the queue */
	int				 attempts;
	int				 http_status; /* 0: none */
	char			*error;		  /* or NULL */
	char			*response;	  /* or NULL */
	int				 duration_ms; /* -1: none */
	TimestampTz		 at;
	TimestampTz		 next_attempt_at; /* 0: none */
} Settlement;

/*
 * How long attempts took: counts by upper bound (ms, inclusive), the last one
 * unbounded.  The bounds are those Prometheus' clients use by default, from
 * 10 ms to the request time-out.
 */
#define LATENCY_BUCKETS 11
extern const int queue_latency_bounds[LATENCY_BUCKETS - 1];

/* What has changed about an integration's health. */
typedef struct HealthChange
{
	pg_uuid_t	integration_id;
	TimestampTz triggered_at; /* 0: no change */
	int			failures;
	TimestampTz failing_since;
	TimestampTz held_since;
	TimestampTz hold_until;
	int			http_status; /* 0: none */
	char	   *error;		 /* or NULL */
	int64		delivered;	 /* to be added */
	int64		failed;
	int64		retried;
	int64		latency[LATENCY_BUCKETS];
	int64		latency_sum; /* ms */
	bool		saved;		 /* set by queue_save_health() */
} HealthChange;

/* Session settings that its statements rely on; once, after connecting. */
extern void queue_init(void);

/* The transaction bracket; activity is what pg_stat_activity shows. */
extern void queue_begin(const char *activity);
extern void queue_commit(void);

/* True if this database has the extension. */
extern bool queue_has_extension(void);

/* All integrations, active or not. */
extern Integrations queue_integrations(void);

/*
 * Integrations that have pending rows, with mark 0, and starts the reading of
 * new ones: what queue_read_new() returns next was committed after this.
 */
extern QueueMarks queue_read_pending(void);

/*
 * Rows that were committed since the last call, at most limit of them.  If
 * there are more, no rows, and instead for each integration concerned the
 * lowest id (marks).  queue_commit() makes the progress final.
 */
extern QueueRows queue_read_new(int limit, QueueMarks *marks);

/* An integration's next pending rows by id. */
extern QueueRows queue_read_lane(const pg_uuid_t *integration_id, int64 after, int limit);

/*
 * Calls take() for each event found, with its index in keys, in a context that
 * is reset afterwards and has the event's strings.
 */
extern void queue_events(const EventKey *keys, int count,
						 void (*take)(int index, const Event *event, void *argument),
						 void *argument);

/*
 * The names of events, in the order of the keys; NULL for one that is not kept
 * any more.
 */
extern char **queue_event_names(const EventKey *keys, int count);

/* Records results: the log, and the rows' end or new state. */
extern void queue_settle(Settlement *const *settlements, int count);

/* Saves what it can without waiting for a lock; sets saved. */
extern void queue_save_health(HealthChange *changes, int count);

typedef enum Deactivation
{
	DEACTIVATION_DONE,	/* or not needed any more */
	DEACTIVATION_LOCKED /* try again later */
} Deactivation;

/* Makes an integration inactive unless it has been connected again since. */
extern Deactivation queue_deactivate(const pg_uuid_t *integration_id,
									 TimestampTz updated_at, const char *reason);

/*
 * Cancels at most limit pending rows of an integration that is gone, inactive
 * or not of this database.  Returns how many.
 */
extern int queue_cancel(const pg_uuid_t *integration_id, const char *reason, int limit);

/*
 * Removes the health of an integration that is gone and has nothing pending;
 * its counters go to the totals of its type.
 */
extern void queue_forget(const pg_uuid_t *integration_id);

/*
 * Rotates the append-only tables if it is time.  Returns when to call it
 * again; 0 while they are empty.
 */
extern TimestampTz queue_rotate(void);

#endif /* FEATUL_QUEUE_H */
