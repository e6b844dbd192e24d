/*
 * shared.c
 *		What the processes share: worker slots, wake-ups and capture counters.
 *
 * One LWLock protects the slots and the table of databases.  A slot belongs to
 * the launcher while FREE, STARTING or ENDED, and to its worker while RUNNING:
 *
 *		FREE -> STARTING	launcher: shared_reserve_worker()
 *		STARTING -> RUNNING	worker: shared_attach_worker()
 *		STARTING -> FREE	launcher: shared_cancel_reservation()
 *		RUNNING -> ENDED	worker, in its exit callback
 *		ENDED -> FREE		launcher: shared_take_ended()
 *
 * The proc of a slot is valid, and its latch may be set, only while the slot
 * is RUNNING and the lock is held (shared is enough): a worker leaves that
 * state under the exclusive lock before its PGPROC is given to another.
 *
 * The counters of a database are atomics, so that capture takes no lock; its
 * last error has a spinlock.  An entry is removed only when its database is
 * gone, and then no process can be connected to it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "process/shared.h"

/* Databases that can have the extension; beyond that they are not counted. */
#define MAX_DATABASES 1024

#define MAX_ERROR_LENGTH 256
#define MAX_STATE_LENGTH 32

/* How long a worker may take to leave before it gets a SIGTERM (ms). */
#define POLITE_STOP_MS 2000
#define STOP_MS 5000
#define STOP_POLL_MS 10

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_STARTING,
	SLOT_RUNNING,
	SLOT_ENDED
} SlotState;

typedef struct WorkerSlot
{
	SlotState		 state;
	uint32			 generation; /* counts reservations; never 0 when reserved */
	Oid				 database;
	int				 number; /* of featul_integrations.workers */
	PGPROC			*proc;	 /* RUNNING only */
	int				 pid;	 /* RUNNING only */
	pg_atomic_uint32 signals;
	pg_atomic_uint32 naps; /* looks for SIGNAL_WAKE by itself: leave its latch alone */
	WorkerOutcome	 outcome;
	bool			 was_ready;

	/* view stat_worker; written by the worker alone, texts under the lock */
	char		doing[MAX_STATE_LENGTH];
	int			in_flight;
	int			connections;
	TimestampTz started_at;
	TimestampTz config_loaded_at;
	char		last_error[MAX_ERROR_LENGTH];
	TimestampTz last_error_at;
} WorkerSlot;

typedef struct Database
{
	Oid				 oid;	 /* hash key */
	int				 blocks; /* statements that keep workers away */
	bool			 check;	 /* the launcher must look at it */
	pg_atomic_uint64 captured;
	pg_atomic_uint64 skipped;
	pg_atomic_uint64 failed;
	slock_t			 mutex; /* for the two below */
	char			 last_error[MAX_ERROR_LENGTH];
	TimestampTz		 last_error_at;
} Database;

typedef struct Shared
{
	LWLock	  *lock;
	PGPROC	  *launcher;
	bool	   relist;
	int		   n_slots;
	WorkerSlot slots[FLEXIBLE_ARRAY_MEMBER];
} Shared;

static Shared	  *shared = NULL;
static HTAB		  *databases = NULL;
static WorkerSlot *my_slot = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

/* What this transaction has to signal when it commits. */
static uint32 signals_at_commit = 0;
static bool	  launcher_at_commit = false;

/* The database this transaction keeps workers away from. */
static Oid blocked_database = InvalidOid;

FEATUL_FUNCTION(featul_integration_changed);
FEATUL_FUNCTION(featul_queue_inserted);
FEATUL_FUNCTION(featul_stat_worker);
FEATUL_FUNCTION(featul_stat_capture);

/* ------------------------------------------------------------------------
 * Set-up
 * ------------------------------------------------------------------------ */

/* One slot for each worker process there can be. */
static Size
shared_size(void)
{
	return add_size(offsetof(Shared, slots),
					mul_size(max_worker_processes, sizeof(WorkerSlot)));
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestAddinShmemSpace(hash_estimate_size(MAX_DATABASES, sizeof(Database)));
	RequestNamedLWLockTranche("featul_integrations", 1);
}

static void
start_shared_memory(void)
{
	HASHCTL info = { .keysize = sizeof(Oid), .entrysize = sizeof(Database) };
	bool	found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("featul_integrations", shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, shared_size());
		shared->lock = &(GetNamedLWLockTranche("featul_integrations"))->lock;
		shared->n_slots = max_worker_processes;
		for (int i = 0; i < shared->n_slots; i++)
		{
			pg_atomic_init_u32(&shared->slots[i].signals, 0);
			pg_atomic_init_u32(&shared->slots[i].naps, 0);
		}
	}
	databases = ShmemInitHash("featul_integrations databases", MAX_DATABASES,
							  MAX_DATABASES, &info, HASH_ELEM | HASH_BLOBS);
	LWLockRelease(AddinShmemInitLock);
}

/* See shared.h. */
void
shared_init(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/*
 * The entry of a database, made if need be; NULL if there are too many.  The
 * caller holds the lock exclusively.
 */
static Database *
database_entry(Oid oid)
{
	bool	  found;
	Database *database;

	Assert(LWLockHeldByMeInMode(shared->lock, LW_EXCLUSIVE));
	database = hash_search(databases, &oid, HASH_ENTER_NULL, &found);
	if (database && !found)
	{
		database->blocks = 0;
		database->check = false;
		pg_atomic_init_u64(&database->captured, 0);
		pg_atomic_init_u64(&database->skipped, 0);
		pg_atomic_init_u64(&database->failed, 0);
		SpinLockInit(&database->mutex);
		database->last_error[0] = '\0';
		database->last_error_at = 0;
	}
	return database;
}

/* The current database's entry, looked up once per process; NULL if none. */
static Database *
my_database(void)
{
	static Database *mine = NULL;

	if (mine == NULL && shared && OidIsValid(MyDatabaseId))
	{
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		mine = database_entry(MyDatabaseId);
		LWLockRelease(shared->lock);
	}
	return mine;
}

/* ------------------------------------------------------------------------
 * Wake-ups
 * ------------------------------------------------------------------------ */

/*
 * Signals the running workers of a database.  The caller holds the lock.
 *
 * Setting the latch of a process that sleeps is a system call, and not a cheap
 * one; so it is left out where the worker is sure to look anyway: it has not
 * taken the last wake-up yet, or it naps (see shared_nap()).
 */
static void
signal_workers(Oid database, uint32 signals)
{
	Assert(LWLockHeldByMe(shared->lock));
	for (int i = 0; i < shared->n_slots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];
		uint32		before;

		if (slot->database != database || slot->state != SLOT_RUNNING)
			continue;
		before = pg_atomic_fetch_or_u32(&slot->signals, signals);
		if (signals == SIGNAL_WAKE &&
			((before & SIGNAL_WAKE) || pg_atomic_read_u32(&slot->naps)))
			continue;
		SetLatch(&slot->proc->procLatch);
	}
}

/* Sets the launcher's latch, if there is one.  The caller holds the lock. */
static void
wake_launcher(void)
{
	Assert(LWLockHeldByMe(shared->lock));
	if (shared->launcher)
		SetLatch(&shared->launcher->procLatch);
}

/* The launcher is to look at a database, and at the list.  The lock is held exclusively. */
static void
tell_launcher(Oid oid)
{
	Database *database = database_entry(oid);

	if (database)
		database->check = true;
	shared->relist = true;
	wake_launcher();
}

/* Ends the block of this transaction. */
static void
unblock_database(void)
{
	Database *database;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = hash_search(databases, &blocked_database, HASH_FIND, NULL);
	if (database && database->blocks > 0)
		database->blocks--;
	tell_launcher(blocked_database);
	LWLockRelease(shared->lock);
	blocked_database = InvalidOid;
}

/*
 * Transaction callback.  At PREPARE a worker learns nothing new yet, but COMMIT
 * PREPARED may come from a session that does not know what it commits.
 */
static void
at_transaction_end(XactEvent event, void *argument)
{
	bool committed = event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE;

	if (!committed && event != XACT_EVENT_ABORT)
		return;
	if (committed && launcher_at_commit)
	{
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		tell_launcher(MyDatabaseId);
		LWLockRelease(shared->lock);
	}
	if (committed && signals_at_commit != 0)
	{
		LWLockAcquire(shared->lock, LW_SHARED);
		signal_workers(MyDatabaseId, signals_at_commit);
		LWLockRelease(shared->lock);
	}
	if (OidIsValid(blocked_database))
		unblock_database();
	signals_at_commit = 0;
	launcher_at_commit = false;
}

/* Once per process. */
static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

/* See shared.h. */
void
shared_wake_workers_at_commit(void)
{
	if (shared == NULL)
		return;
	register_callback();
	signals_at_commit |= SIGNAL_WAKE;
}

/* See shared.h. */
void
shared_reload_workers_at_commit(void)
{
	if (shared == NULL)
		return;
	register_callback();
	signals_at_commit |= SIGNAL_RELOAD | SIGNAL_WAKE;
}

/* See shared.h. */
void
shared_wake_launcher_at_commit(void)
{
	if (shared == NULL)
		return;
	register_callback();
	launcher_at_commit = true;
}

/* See shared.h. */
void
shared_wake_workers(void)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	signal_workers(MyDatabaseId, SIGNAL_RELOAD | SIGNAL_WAKE);
	LWLockRelease(shared->lock);
}

/* Refuses to be called but as a trigger. */
static void
require_trigger(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger", name)));
}

/*
 * Trigger on featul_integrations.integration: sessions drop what they know of
 * integrations (by invalidation), workers read them again.
 */
Datum
featul_integration_changed(PG_FUNCTION_ARGS)
{
	require_trigger(fcinfo, "integration_changed");
	CacheInvalidateRelcacheByRelid(
		RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	shared_reload_workers_at_commit();
	return PointerGetDatum(NULL);
}

/*
 * Trigger on featul_integrations.queue, for what an INSERT puts there (a redelivery,
 * a DBA); capture writes past it.
 */
Datum
featul_queue_inserted(PG_FUNCTION_ARGS)
{
	require_trigger(fcinfo, "queue_inserted");
	shared_wake_workers_at_commit();
	return PointerGetDatum(NULL);
}

/* ------------------------------------------------------------------------
 * Counters of capture
 * ------------------------------------------------------------------------ */

/* See shared.h. */
void
shared_count_captured(int64 events)
{
	Database *database = my_database();

	if (database)
		pg_atomic_fetch_add_u64(&database->captured, events);
}

/* See shared.h. */
void
shared_count_skipped(int64 rows)
{
	Database *database = my_database();

	if (database)
		pg_atomic_fetch_add_u64(&database->skipped, rows);
}

/* See shared.h. */
void
shared_count_failed(const char *error)
{
	Database   *database = my_database();
	TimestampTz now = GetCurrentTimestamp();
	int			length;

	if (database == NULL)
		return;
	length = pg_mbcliplen(error, strlen(error), MAX_ERROR_LENGTH - 1);
	pg_atomic_fetch_add_u64(&database->failed, 1);
	SpinLockAcquire(&database->mutex);
	memcpy(database->last_error, error, length);
	database->last_error[length] = '\0';
	database->last_error_at = now;
	SpinLockRelease(&database->mutex);
}

/* ------------------------------------------------------------------------
 * Keeping workers away
 * ------------------------------------------------------------------------ */

/*
 * True if a worker of the database is running or about to.  With terminate,
 * SIGTERM for those that run.
 */
static bool
workers_present(Oid database, bool terminate)
{
	bool present = false;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->n_slots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		if (slot->database != database ||
			(slot->state != SLOT_RUNNING && slot->state != SLOT_STARTING))
			continue;
		present = true;
		if (terminate && slot->state == SLOT_RUNNING)
			kill(slot->pid, SIGTERM);
	}
	LWLockRelease(shared->lock);
	return present;
}

/* See shared.h. */
void
shared_block_database(Oid oid)
{
	Database *database;
	bool	  terminated = false;

	if (shared == NULL)
		return;
	register_callback();
	Assert(!OidIsValid(blocked_database));
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = database_entry(oid);
	if (database)
	{
		database->blocks++;
		blocked_database = oid;
	}
	signal_workers(oid, SIGNAL_STOP);
	LWLockRelease(shared->lock);

	for (int waited = 0; waited < STOP_MS; waited += STOP_POLL_MS)
	{
		bool terminate = waited >= POLITE_STOP_MS && !terminated;

		if (!workers_present(oid, terminate))
			break;
		terminated |= terminate;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 STOP_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ------------------------------------------------------------------------
 * The launcher's side
 * ------------------------------------------------------------------------ */

/* A slot's key: its index and generation, never 0. */
static uint64
slot_key(const WorkerSlot *slot)
{
	return ((uint64) slot->generation << 32) | (uint64) (slot - shared->slots);
}

/* The slot that a key belongs to; NULL if it has been given to another. */
static WorkerSlot *
slot_of_key(uint64 key)
{
	uint32 i = (uint32) key;

	if (i >= shared->n_slots || shared->slots[i].generation != key >> 32)
		return NULL;
	return &shared->slots[i];
}

static void
detach_launcher(int code, Datum argument)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = NULL;
	LWLockRelease(shared->lock);
}

/* See shared.h. */
void
shared_attach_launcher(void)
{
	before_shmem_exit(detach_launcher, 0);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = MyProc;
	shared->relist = true;
	/* a predecessor's reservation: its worker, should it come, finds it gone */
	for (int i = 0; i < shared->n_slots; i++)
		if (shared->slots[i].state == SLOT_STARTING)
			shared->slots[i].state = SLOT_FREE;
	LWLockRelease(shared->lock);
}

/* See shared.h. */
bool
shared_take_relist(void)
{
	bool relist;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	relist = shared->relist;
	shared->relist = false;
	LWLockRelease(shared->lock);
	return relist;
}

/* See shared.h. */
Oid
shared_take_check(void)
{
	HASH_SEQ_STATUS sequence;
	Database	   *database;
	Oid				found = InvalidOid;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	hash_seq_init(&sequence, databases);
	while ((database = hash_seq_search(&sequence)) != NULL)
	{
		if (!database->check)
			continue;
		database->check = false;
		found = database->oid;
		hash_seq_term(&sequence);
		break;
	}
	LWLockRelease(shared->lock);
	return found;
}

/* See shared.h. */
bool
shared_take_ended(EndedWorker *ended)
{
	bool found = false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_slots && !found; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		if (slot->state != SLOT_ENDED)
			continue;
		ended->database = slot->database;
		ended->number = slot->number;
		ended->outcome = slot->outcome;
		ended->was_ready = slot->was_ready;
		slot->state = SLOT_FREE;
		found = true;
	}
	LWLockRelease(shared->lock);
	return found;
}

/* See shared.h. */
bool
shared_database_blocked(Oid oid)
{
	Database *database;
	bool	  blocked;

	LWLockAcquire(shared->lock, LW_SHARED);
	database = hash_search(databases, &oid, HASH_FIND, NULL);
	blocked = database && database->blocks > 0;
	LWLockRelease(shared->lock);
	return blocked;
}

/* See shared.h. */
bool
shared_has_worker(Oid database, int number)
{
	bool found = false;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->n_slots && !found; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		found = slot->state != SLOT_FREE && slot->database == database &&
				slot->number == number;
	}
	LWLockRelease(shared->lock);
	return found;
}

/* See shared.h. */
bool
shared_worker_is_ready(Oid database)
{
	bool ready = false;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->n_slots && !ready; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		ready =
			slot->state == SLOT_RUNNING && slot->database == database && slot->was_ready;
	}
	LWLockRelease(shared->lock);
	return ready;
}

/* See shared.h. */
uint64
shared_reserve_worker(Oid database, int number)
{
	Database *entry;
	uint64	  key = 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = hash_search(databases, &database, HASH_FIND, NULL);
	for (int i = 0; i < shared->n_slots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		if (slot->state != SLOT_FREE)
			continue;
		if (entry && entry->blocks > 0)
			break;
		slot->state = SLOT_STARTING;
		slot->generation = Max(slot->generation + 1, 1);
		slot->database = database;
		slot->number = number;
		key = slot_key(slot);
		break;
	}
	LWLockRelease(shared->lock);
	return key;
}

/* See shared.h. */
bool
shared_cancel_reservation(uint64 key)
{
	WorkerSlot *slot;
	bool		cancelled;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = slot_of_key(key);
	cancelled = slot && slot->state == SLOT_STARTING;
	if (cancelled)
		slot->state = SLOT_FREE;
	LWLockRelease(shared->lock);
	return cancelled;
}

/* See shared.h. */
void
shared_forget_database(Oid oid)
{
	Database *database;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = hash_search(databases, &oid, HASH_FIND, NULL);
	if (database && database->blocks == 0)
		hash_search(databases, &oid, HASH_REMOVE, NULL);
	LWLockRelease(shared->lock);
}

/* ------------------------------------------------------------------------
 * The worker's side
 * ------------------------------------------------------------------------ */

static void
detach_worker(int code, Datum argument)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	Assert(my_slot->state == SLOT_RUNNING);
	my_slot->state = SLOT_ENDED;
	my_slot->proc = NULL;
	my_slot->pid = 0;
	wake_launcher();
	LWLockRelease(shared->lock);
	my_slot = NULL;
}

/* See shared.h. */
bool
shared_attach_worker(uint64 key, Oid *database, int *number)
{
	WorkerSlot *slot;
	Database   *entry;
	bool		attached;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = slot_of_key(key);
	attached = slot && slot->state == SLOT_STARTING;
	if (attached)
	{
		slot->state = SLOT_RUNNING;
		slot->proc = MyProc;
		slot->pid = MyProcPid;
		slot->outcome = OUTCOME_FAILED;
		slot->was_ready = false;
		slot->started_at = GetCurrentTimestamp();
		slot->config_loaded_at = 0;
		slot->in_flight = 0;
		slot->connections = 0;
		strlcpy(slot->doing, "starting", MAX_STATE_LENGTH);
		slot->last_error[0] = '\0';
		slot->last_error_at = 0;
		*database = slot->database;
		*number = slot->number;

		/* a block that came while this process was being started */
		entry = hash_search(databases, &slot->database, HASH_FIND, NULL);
		pg_atomic_write_u32(&slot->signals, entry && entry->blocks > 0 ? SIGNAL_STOP : 0);
		pg_atomic_write_u32(&slot->naps, 0);
	}
	LWLockRelease(shared->lock);
	if (attached)
	{
		my_slot = slot;
		before_shmem_exit(detach_worker, 0);
	}
	return attached;
}

/* See shared.h. */
uint32
shared_take_signals(void)
{
	if (pg_atomic_read_u32(&my_slot->signals) == 0)
		return 0;
	return pg_atomic_exchange_u32(&my_slot->signals, 0);
}

/* See shared.h. */
bool
shared_nap(bool naps)
{
	static bool announced = false;

	if (naps != announced)
		pg_atomic_exchange_u32(&my_slot->naps, naps); /* a full barrier */
	announced = naps;
	return pg_atomic_read_u32(&my_slot->signals) != 0;
}

/* See shared.h. */
void
shared_report_ready(void)
{
	if (my_slot->was_ready)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->was_ready = true;
	wake_launcher();
	LWLockRelease(shared->lock);
}

/* See shared.h. */
void
shared_report_outcome(WorkerOutcome outcome)
{
	my_slot->outcome = outcome;
}

/* See shared.h. */
void
shared_report_config_loaded(void)
{
	my_slot->config_loaded_at = GetCurrentTimestamp();
}

/* See shared.h. */
void
shared_report_state(const char *state, int in_flight, int connections)
{
	my_slot->in_flight = in_flight;
	my_slot->connections = connections;
	if (strcmp(my_slot->doing, state) == 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	strlcpy(my_slot->doing, state, MAX_STATE_LENGTH);
	LWLockRelease(shared->lock);
}

/* See shared.h. */
void
shared_report_error(const char *message)
{
	int length = pg_mbcliplen(message, strlen(message), MAX_ERROR_LENGTH - 1);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	memcpy(my_slot->last_error, message, length);
	my_slot->last_error[length] = '\0';
	my_slot->last_error_at = GetCurrentTimestamp();
	LWLockRelease(shared->lock);
}

/* ------------------------------------------------------------------------
 * Views
 * ------------------------------------------------------------------------ */

/* A timestamp or NULL. */
static Datum
timestamp_or_null(TimestampTz at, bool *null)
{
	*null = at == 0;
	return TimestampTzGetDatum(at);
}

/* A text or NULL; what another database's encoding left is made plain ASCII. */
static Datum
text_or_null(const char *message, Oid database, bool *null)
{
	char *copy = pstrdup(message);

	*null = message[0] == '\0';
	if (database != MyDatabaseId)
		for (char *p = copy; *p; p++)
			if (IS_HIGHBIT_SET(*p))
				*p = '?';
	return CStringGetTextDatum(copy);
}

/*
 * featul_integrations.stat_worker(): the running workers of all databases,
 * with the oid of each one's database.
 */
Datum
featul_stat_worker(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (shared == NULL)
		return (Datum) 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->n_slots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];
		Datum		values[10];
		bool		nulls[10] = { false };

		if (slot->state != SLOT_RUNNING)
			continue;
		values[0] = Int32GetDatum(slot->pid);
		values[1] = ObjectIdGetDatum(slot->database);
		values[2] = Int32GetDatum(slot->number);
		values[3] = CStringGetTextDatum(slot->doing);
		values[4] = Int32GetDatum(slot->in_flight);
		values[5] = Int32GetDatum(slot->connections);
		values[6] = timestamp_or_null(slot->started_at, &nulls[6]);
		values[7] = timestamp_or_null(slot->config_loaded_at, &nulls[7]);
		values[8] = text_or_null(slot->last_error, slot->database, &nulls[8]);
		values[9] = timestamp_or_null(slot->last_error_at, &nulls[9]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	LWLockRelease(shared->lock);
	return (Datum) 0;
}

/* featul_integrations.stat_capture(): one row, of the current database. */
Datum
featul_stat_capture(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Database	  *database = my_database();
	char		   error[MAX_ERROR_LENGTH] = "";
	TimestampTz	   error_at = 0;
	Datum		   values[5];
	bool		   nulls[5] = { false };

	InitMaterializedSRF(fcinfo, 0);
	if (database)
	{
		SpinLockAcquire(&database->mutex);
		memcpy(error, database->last_error, MAX_ERROR_LENGTH);
		error_at = database->last_error_at;
		SpinLockRelease(&database->mutex);
	}
	values[0] = Int64GetDatum(database ? pg_atomic_read_u64(&database->captured) : 0);
	values[1] = Int64GetDatum(database ? pg_atomic_read_u64(&database->skipped) : 0);
	values[2] = Int64GetDatum(database ? pg_atomic_read_u64(&database->failed) : 0);
	values[3] = text_or_null(error, MyDatabaseId, &nulls[3]);
	values[4] = timestamp_or_null(error_at, &nulls[4]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}
