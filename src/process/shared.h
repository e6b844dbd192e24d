/*
 * shared.h
 *		What the processes share: worker slots, wake-ups and capture counters.
 *
 * Exists only when the library is preloaded; every
 * function here is harmless when it is not.
 */
#ifndef FEATUL_SHARED_H
#define FEATUL_SHARED_H

#include "utils/timestamp.h"

/* Requests shared memory; called from _PG_init while preloading. */
extern void shared_init(void);

/* ------------------------------------------------------------------------
 * For every session
 * ------------------------------------------------------------------------ */

/*
 * Notes that this transaction queued deliveries: when it commits (or is
 * prepared), the workers of this database are woken.  Nothing happens if it
 * aborts.  Cheap enough for every captured statement.
 */
extern void shared_wake_workers_at_commit(void);

/*
 * Likewise after a change of integration rows (URL, filters, activity,
 * secrets): the workers read their configuration again.
 */
extern void shared_reload_workers_at_commit(void);

/*
 * Likewise after CREATE EXTENSION: the launcher looks at this database, and at
 * the list of databases.
 */
extern void shared_wake_launcher_at_commit(void);

/* At once, outside of any transaction: COMMIT PREPARED has no commit callback. */
extern void shared_wake_workers(void);

/* Counters of view stat_capture, for the current database. */
extern void shared_count_captured(int64 events);
extern void shared_count_skipped(int64 rows);
extern void shared_count_failed(const char *error);

/*
 * Stops the workers of a database, waits until they are gone (a few seconds
 * at most) and keeps new ones away until this transaction ends; the launcher
 * then looks at this database and at the list of databases again.  Once per
 * transaction.  May raise an error while waiting (query cancel).
 */
extern void shared_block_database(Oid database);

/* ------------------------------------------------------------------------
 * For the launcher
 * ------------------------------------------------------------------------ */

typedef enum WorkerOutcome
{
	OUTCOME_FAILED,		  /* an error, SIGTERM, ... */
	OUTCOME_NO_EXTENSION, /* the database does not have the extension */
	OUTCOME_STOPPED		  /* asked to go by shared_block_database() */
} WorkerOutcome;

typedef struct EndedWorker
{
	Oid			  database;
	int			  number;
	WorkerOutcome outcome;
	bool		  was_ready; /* it had come as far as delivering */
} EndedWorker;

/* Makes this process the launcher; forgets workers that never started. */
extern void shared_attach_launcher(void);

/* True once after the list of databases may have changed. */
extern bool shared_take_relist(void);

/* Takes one database that must be looked at again; InvalidOid if none. */
extern Oid shared_take_check(void);

/* Takes one worker that has ended; false if there is none. */
extern bool shared_take_ended(EndedWorker *ended);

extern bool shared_database_blocked(Oid database);
extern bool shared_has_worker(Oid database, int number);

/* True if a worker of the database has come as far as delivering. */
extern bool shared_worker_is_ready(Oid database);

/*
 * Reserves a slot for a worker that is about to be registered; its key is to
 * be the worker's argument.  0 if there is no free slot.
 */
extern uint64 shared_reserve_worker(Oid database, int number);

/* Takes back a reservation that no worker has picked up; true if so. */
extern bool shared_cancel_reservation(uint64 key);

/* Forgets a database that no longer exists. */
extern void shared_forget_database(Oid database);

/* ------------------------------------------------------------------------
 * For the worker
 * ------------------------------------------------------------------------ */

/* What a worker is told through its latch. */
#define SIGNAL_WAKE 0x01   /* something was queued */
#define SIGNAL_RELOAD 0x02 /* integrations changed */
#define SIGNAL_STOP 0x04   /* leave this database */

/*
 * Takes the reserved slot; from then on this process gets signals, until it
 * exits.  False if the reservation is no longer valid: exit.
 */
extern bool shared_attach_worker(uint64 key, Oid *database, int *number);

/* The signals since the last call, which it clears. */
extern uint32 shared_take_signals(void);

/*
 * Before waiting: whether this worker looks for wake-ups by itself, so that who
 * commits need not wake it.  True if there are signals now.
 */
extern bool shared_nap(bool naps);

/* For the launcher and view stat_worker. */
extern void shared_report_ready(void);
extern void shared_report_outcome(WorkerOutcome outcome);
extern void shared_report_config_loaded(void);
extern void shared_report_state(const char *state, int in_flight, int connections);
extern void shared_report_error(const char *message);

#endif /* FEATUL_SHARED_H */
