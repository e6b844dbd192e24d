/*
 * table_health.h
 *		Integrations and how they fare: the tables integration, health and total,
 *		as the worker reads and writes them.
 *
 * Everything here runs between table_begin() and table_commit() (statement.h).
 */
#ifndef FEATUL_TABLE_HEALTH_H
#define FEATUL_TABLE_HEALTH_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

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
	int			failing_days;  /* bit n: several attempts failed on day n since */
	TimestampTz held_since;	   /* 0: not held */
	TimestampTz hold_until;
	int			response_ms;  /* expected; -1: never tried */
	bool		told_failing; /* the last that was told of it (listener.h) */
} Integration;

typedef struct Integrations
{
	int			 count;
	Integration *rows;
} Integrations;

/*
 * How long attempts took: counts by upper bound (ms, inclusive), the last one
 * unbounded.  The bounds are those Prometheus' clients use by default, from
 * 10 ms to the request time-out.
 */
#define LATENCY_BUCKETS 11
extern const int latency_bounds[LATENCY_BUCKETS - 1];

/* What has changed about an integration's health. */
typedef struct HealthChange
{
	pg_uuid_t	integration_id;
	const char *workspace_id; /* these two for those who are told */
	const char *type;
	TimestampTz triggered_at; /* 0: no change */
	int			failures;
	TimestampTz failing_since;
	int			failing_days;
	TimestampTz held_since;
	TimestampTz hold_until;
	int			response_ms;
	int			http_status; /* 0: none */
	char	   *error;		 /* or NULL */
	int64		delivered;	 /* to be added */
	int64		failed;
	int64		retried;
	int64		latency[LATENCY_BUCKETS];
	int64		latency_sum; /* ms */
	bool		failing;	 /* only probes go out */
	bool		saved;		 /* set by health_save() */
	bool		turned;		 /* likewise: this is to be told, failing or not */
} HealthChange;

/* True if this database has the extension. */
extern bool health_has_extension(void);

/* All integrations, active or not; those of these ids that there are. */
extern Integrations health_read_integrations(void);
extern Integrations health_read_changed(pg_uuid_t *ids, int count);

/* Ids of integrations that are gone and have left their health (palloc'd). */
extern pg_uuid_t *health_read_orphans(int *count);

/* Saves what it can without waiting for a lock; sets saved. */
extern void health_save(HealthChange *changes, int count);

typedef enum Deactivation
{
	DEACTIVATION_DONE,
	DEACTIVATION_NEEDLESS, /* inactive, connected again or gone meanwhile */
	DEACTIVATION_LOCKED	   /* try again later */
} Deactivation;

/* Makes an integration inactive unless it has been connected again since. */
extern Deactivation health_deactivate(const pg_uuid_t *integration_id,
									  TimestampTz updated_at, const char *reason);

/*
 * Removes the health of an integration that is gone and has nothing pending;
 * its counters go to the totals of its type.
 */
extern void health_forget(const pg_uuid_t *integration_id);

#endif /* FEATUL_TABLE_HEALTH_H */
