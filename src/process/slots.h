/*
 * slots.h
 *		Which workers there are: a slot for each, and what it is told through its latch.
 *
 * Exists only when the library is preloaded.  What sessions call is harmless
 * when it is not; the launcher and the workers run only when it is.
 */
#ifndef FEATUL_SLOTS_H
#define FEATUL_SLOTS_H

#include "utils/uuid.h"

/* Databases that can have the extension; what is said of more is not kept. */
#define MAX_DATABASES 1024

/* Requests shared memory; called from _PG_init while preloading. */
extern void slots_init(void);

/* ------------------------------------------------------------------------
 * For every session
 * ------------------------------------------------------------------------ */

/* What a worker is told through its latch. */
#define SIGNAL_WAKE 0x01	/* something was queued */
#define SIGNAL_RELOAD 0x02	/* integrations changed, nobody knows which */
#define SIGNAL_STOP 0x04	/* leave this database */
#define SIGNAL_CHANGED 0x08 /* integrations changed: slots_take_changed() says which */

/* Signals the running workers of a database. */
extern void slots_signal_workers(Oid database, uint32 signals);

/* So many changed integrations are kept for a worker; of more it reads all. */
#define SLOTS_MAX_CHANGED 64

/* These integrations changed: tells the running workers of a database. */
extern void slots_tell_changed(Oid database, const pg_uuid_t *ids, int count);

/* The launcher is to look at this database, and at the list of databases. */
extern void slots_tell_launcher(Oid database);

/*
 * Asks the workers of a database to leave, and keeps new ones away until
 * slots_unblock_database(); false if there is nothing to unblock.
 */
extern bool slots_block_database(Oid database);

/* Ends one block; the launcher then looks at the database again. */
extern void slots_unblock_database(Oid database);

/*
 * True if a worker of the database is running or about to.  With terminate,
 * SIGTERM for those that run.
 */
extern bool slots_workers_present(Oid database, bool terminate);

/* ------------------------------------------------------------------------
 * For the launcher
 * ------------------------------------------------------------------------ */

typedef enum WorkerOutcome
{
	OUTCOME_FAILED,		  /* an error, SIGTERM, ... */
	OUTCOME_NO_EXTENSION, /* the database does not have the extension */
	OUTCOME_STOPPED		  /* asked to go by slots_block_database() */
} WorkerOutcome;

typedef struct EndedWorker
{
	Oid			  database;
	int			  number;
	WorkerOutcome outcome;
	bool		  was_ready; /* it had come as far as delivering */
} EndedWorker;

/* Makes this process the launcher; forgets workers that never started. */
extern void slots_attach_launcher(void);

/* True once after the list of databases may have changed. */
extern bool slots_take_relist(void);

/* Takes one database that must be looked at again; InvalidOid if none. */
extern Oid slots_take_check(void);

/* Takes one worker that has ended; false if there is none. */
extern bool slots_take_ended(EndedWorker *ended);

extern bool slots_database_blocked(Oid database);
extern bool slots_has_worker(Oid database, int number);

/* True if a worker of the database has come as far as delivering. */
extern bool slots_worker_is_ready(Oid database);

/*
 * Reserves a slot for a worker that is about to be registered; its key is to
 * be the worker's argument.  0 if there is no free slot.
 */
extern uint64 slots_reserve_worker(Oid database, int number);

/* Takes back a reservation that no worker has picked up; true if so. */
extern bool slots_cancel_reservation(uint64 key);

/* Forgets a database that no longer exists. */
extern void slots_forget_database(Oid database);

/* ------------------------------------------------------------------------
 * For the worker
 * ------------------------------------------------------------------------ */

/*
 * Takes the reserved slot; from then on this process gets signals, until it
 * exits.  False if the reservation is no longer valid: exit.
 */
extern bool slots_attach_worker(uint64 key, Oid *database, int *number);

/* The signals since the last call, which it clears. */
extern uint32 slots_take_signals(void);

/* Takes the ids of changed integrations (room for SLOTS_MAX_CHANGED); how many. */
extern int slots_take_changed(pg_uuid_t *ids);

/*
 * Before waiting: whether this worker looks for wake-ups by itself, so that who
 * commits need not wake it.  True if there are signals now.
 */
extern bool slots_nap(bool naps);

/* For the launcher: this worker delivers; how it ends. */
extern void slots_report_ready(void);
extern void slots_report_outcome(WorkerOutcome outcome);

#endif /* FEATUL_SLOTS_H */
