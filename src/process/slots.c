/*
 * slots.c
 *		Which workers there are: a slot for each, and what it is told through its latch.
 *
 * One LWLock protects the slots and the table of databases.  A slot belongs to
 * the launcher while FREE, STARTING or ENDED, and to its worker while RUNNING:
 *
 *		FREE -> STARTING	launcher: slots_reserve_worker()
 *		STARTING -> RUNNING	worker: slots_attach_worker()
 *		STARTING -> FREE	launcher: slots_cancel_reservation()
 *		RUNNING -> ENDED	worker, in its exit callback
 *		ENDED -> FREE		launcher: slots_take_ended()
 *
 * The proc of a slot is valid, and its latch may be set, only while the slot
 * is RUNNING and the lock is held (shared is enough): a worker leaves that
 * state under the exclusive lock before its PGPROC is given to another.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/hsearch.h"

#include "base/compat.h"
#include "process/slots.h"

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
	pg_atomic_uint32 naps;	/* looks for SIGNAL_WAKE by itself: leave its latch alone */
	slock_t			 mutex; /* for the two below */
	int				 n_changed;
	pg_uuid_t		 changed[SLOTS_MAX_CHANGED]; /* integrations */
	WorkerOutcome	 outcome;
	bool			 was_ready;
} WorkerSlot;

/* What the launcher is told about a database. */
typedef struct Database
{
	Oid	 oid;	 /* hash key */
	int	 blocks; /* statements that keep workers away */
	bool check;	 /* the launcher must look at it */
} Database;

typedef struct Slots
{
	LWLock	  *lock;
	PGPROC	  *launcher;
	bool	   relist;
	int		   n_slots;
	WorkerSlot slots[FLEXIBLE_ARRAY_MEMBER];
} Slots;

static Slots	  *shared = NULL;
static HTAB		  *databases = NULL;
static WorkerSlot *my_slot = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

/* ------------------------------------------------------------------------
 * Set-up
 * ------------------------------------------------------------------------ */

/* One slot for each worker process there can be. */
static Size
shared_size(void)
{
	return add_size(offsetof(Slots, slots),
					mul_size(max_worker_processes, sizeof(WorkerSlot)));
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestAddinShmemSpace(hash_estimate_size(MAX_DATABASES, sizeof(Database)));
	RequestNamedLWLockTranche("featul_integrations_slots", 1);
}

static void
start_shared_memory(void)
{
	HASHCTL info = { .keysize = sizeof(Oid), .entrysize = sizeof(Database) };
	bool	found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("featul_integrations slots", shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, shared_size());
		shared->lock = &(GetNamedLWLockTranche("featul_integrations_slots"))->lock;
		shared->n_slots = max_worker_processes;
		for (int i = 0; i < shared->n_slots; i++)
		{
			pg_atomic_init_u32(&shared->slots[i].signals, 0);
			pg_atomic_init_u32(&shared->slots[i].naps, 0);
			SpinLockInit(&shared->slots[i].mutex);
		}
	}
	databases = compat_shmem_hash("featul_integrations databases", MAX_DATABASES, &info,
								  HASH_ELEM | HASH_BLOBS);
	LWLockRelease(AddinShmemInitLock);
}

/* See slots.h. */
void
slots_init(void)
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
	}
	return database;
}

/* ------------------------------------------------------------------------
 * For every session
 * ------------------------------------------------------------------------ */

/*
 * Signals the running workers of a database.  The caller holds the lock.
 *
 * Setting the latch of a process that sleeps is a system call, and not a cheap
 * one; so it is left out where the worker is sure to look anyway: it has not
 * taken the last wake-up yet, or it naps (see slots_nap()).
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

/* See slots.h. */
void
slots_signal_workers(Oid database, uint32 signals)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	signal_workers(database, signals);
	LWLockRelease(shared->lock);
}

/* Adds to what a worker is to read anew; false if there is no room. */
static bool
add_changed(WorkerSlot *slot, const pg_uuid_t *ids, int count)
{
	bool fits;

	SpinLockAcquire(&slot->mutex);
	fits = slot->n_changed + count <= SLOTS_MAX_CHANGED;
	if (fits)
	{
		memcpy(slot->changed + slot->n_changed, ids, count * sizeof(pg_uuid_t));
		slot->n_changed += count;
	}
	SpinLockRelease(&slot->mutex);
	return fits;
}

/* See slots.h. */
void
slots_tell_changed(Oid database, const pg_uuid_t *ids, int count)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->n_slots; i++)
	{
		WorkerSlot *slot = &shared->slots[i];

		if (slot->database != database || slot->state != SLOT_RUNNING)
			continue;
		pg_atomic_fetch_or_u32(&slot->signals, add_changed(slot, ids, count)
												   ? SIGNAL_CHANGED
												   : SIGNAL_RELOAD);
		SetLatch(&slot->proc->procLatch);
	}
	LWLockRelease(shared->lock);
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

/* See slots.h. */
void
slots_tell_launcher(Oid oid)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	tell_launcher(oid);
	LWLockRelease(shared->lock);
}

/* See slots.h. */
bool
slots_block_database(Oid oid)
{
	Database *database;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = database_entry(oid);
	if (database)
		database->blocks++;
	signal_workers(oid, SIGNAL_STOP);
	LWLockRelease(shared->lock);
	return database != NULL;
}

/* See slots.h. */
void
slots_unblock_database(Oid oid)
{
	Database *database;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	database = hash_search(databases, &oid, HASH_FIND, NULL);
	if (database && database->blocks > 0)
		database->blocks--;
	tell_launcher(oid);
	LWLockRelease(shared->lock);
}

/* See slots.h. */
bool
slots_workers_present(Oid database, bool terminate)
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

/* See slots.h. */
void
slots_attach_launcher(void)
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

/* See slots.h. */
bool
slots_take_relist(void)
{
	bool relist;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	relist = shared->relist;
	shared->relist = false;
	LWLockRelease(shared->lock);
	return relist;
}

/* See slots.h. */
Oid
slots_take_check(void)
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

/* See slots.h. */
bool
slots_take_ended(EndedWorker *ended)
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

/* See slots.h. */
bool
slots_database_blocked(Oid oid)
{
	Database *database;
	bool	  blocked;

	LWLockAcquire(shared->lock, LW_SHARED);
	database = hash_search(databases, &oid, HASH_FIND, NULL);
	blocked = database && database->blocks > 0;
	LWLockRelease(shared->lock);
	return blocked;
}

/* See slots.h. */
bool
slots_has_worker(Oid database, int number)
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

/* See slots.h. */
bool
slots_worker_is_ready(Oid database)
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

/* See slots.h. */
uint64
slots_reserve_worker(Oid database, int number)
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

/* See slots.h. */
bool
slots_cancel_reservation(uint64 key)
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

/* See slots.h. */
void
slots_forget_database(Oid oid)
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
leave_slot(int code, Datum argument)
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

/* See slots.h. */
bool
slots_attach_worker(uint64 key, Oid *database, int *number)
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
		*database = slot->database;
		*number = slot->number;

		/* a block that came while this process was being started */
		entry = hash_search(databases, &slot->database, HASH_FIND, NULL);
		pg_atomic_write_u32(&slot->signals, entry && entry->blocks > 0 ? SIGNAL_STOP : 0);
		pg_atomic_write_u32(&slot->naps, 0);
		slot->n_changed = 0;
	}
	LWLockRelease(shared->lock);
	if (attached)
	{
		my_slot = slot;
		before_shmem_exit(leave_slot, 0);
	}
	return attached;
}

/* See slots.h. */
uint32
slots_take_signals(void)
{
	if (pg_atomic_read_u32(&my_slot->signals) == 0)
		return 0;
	return pg_atomic_exchange_u32(&my_slot->signals, 0);
}

/* See slots.h. */
int
slots_take_changed(pg_uuid_t *ids)
{
	int count;

	SpinLockAcquire(&my_slot->mutex);
	count = my_slot->n_changed;
	memcpy(ids, my_slot->changed, count * sizeof(pg_uuid_t));
	my_slot->n_changed = 0;
	SpinLockRelease(&my_slot->mutex);
	return count;
}

/* See slots.h. */
bool
slots_nap(bool naps)
{
	static bool announced = false;

	if (naps != announced)
		pg_atomic_exchange_u32(&my_slot->naps, naps); /* a full barrier */
	announced = naps;
	return pg_atomic_read_u32(&my_slot->signals) != 0;
}

/* See slots.h. */
void
slots_report_ready(void)
{
	if (my_slot->was_ready)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->was_ready = true;
	wake_launcher();
	LWLockRelease(shared->lock);
}

/* See slots.h. */
void
slots_report_outcome(WorkerOutcome outcome)
{
	my_slot->outcome = outcome;
}
