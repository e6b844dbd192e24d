/*
 * stats.c
 *		The counters of capture and the state of the workers, for the views stat_*.
 *
 * The counters of a database are atomics, so that capture takes no lock; its
 * last error has a spinlock.  An entry is made when a process first counts,
 * which remembers its address; it is removed only when its database is gone,
 * and then no process can be connected to it.
 *
 * A worker writes its own entry; the numbers as they are, the rest under the lock.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "process/slots.h"
#include "process/stats.h"

#define MAX_ERROR_LENGTH 256
#define MAX_STATE_LENGTH 32

/* The last error of a database or worker; "" and 0 if there is none. */
typedef struct LastError
{
	char		message[MAX_ERROR_LENGTH];
	TimestampTz at;
} LastError;

typedef struct CaptureStats
{
	Oid				 database; /* hash key */
	pg_atomic_uint64 captured;
	pg_atomic_uint64 skipped;
	pg_atomic_uint64 failed;
	slock_t			 mutex; /* for the last error */
	LastError		 last_error;
} CaptureStats;

typedef struct WorkerStats
{
	int			pid; /* 0: no worker */
	Oid			database;
	int			number;
	char		doing[MAX_STATE_LENGTH];
	int			in_flight;
	int			connections;
	TimestampTz started_at;
	TimestampTz config_loaded_at;
	LastError	last_error;
} WorkerStats;

typedef struct Stats
{
	LWLock	   *lock;
	int			n_workers;
	WorkerStats workers[FLEXIBLE_ARRAY_MEMBER];
} Stats;

static Stats	   *shared = NULL;
static HTAB		   *capture_stats = NULL;
static WorkerStats *my_worker = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

FEATUL_FUNCTION(featul_stat_worker);
FEATUL_FUNCTION(featul_stat_capture);

/* ------------------------------------------------------------------------
 * Set-up
 * ------------------------------------------------------------------------ */

/* One entry for each worker process there can be. */
static Size
shared_size(void)
{
	return add_size(offsetof(Stats, workers),
					mul_size(max_worker_processes, sizeof(WorkerStats)));
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestAddinShmemSpace(hash_estimate_size(MAX_DATABASES, sizeof(CaptureStats)));
	RequestNamedLWLockTranche("featul_integrations_stats", 1);
}

static void
start_shared_memory(void)
{
	HASHCTL info = { .keysize = sizeof(Oid), .entrysize = sizeof(CaptureStats) };
	bool	found;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("featul_integrations stats", shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, shared_size());
		shared->lock = &(GetNamedLWLockTranche("featul_integrations_stats"))->lock;
		shared->n_workers = max_worker_processes;
	}
	capture_stats = compat_shmem_hash("featul_integrations capture stats", MAX_DATABASES,
									  &info, HASH_ELEM | HASH_BLOBS);
	LWLockRelease(AddinShmemInitLock);
}

/* See stats.h. */
void
stats_init(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

/* Overwrites a last error; the message is cut where it is too long. */
static void
set_error(LastError *error, const char *message, int length, TimestampTz at)
{
	memcpy(error->message, message, length);
	error->message[length] = '\0';
	error->at = at;
}

/* How many bytes of a message fit into a LastError. */
static int
error_length(const char *message)
{
	return pg_mbcliplen(message, strlen(message), MAX_ERROR_LENGTH - 1);
}

/* ------------------------------------------------------------------------
 * Capture
 * ------------------------------------------------------------------------ */

/*
 * The counters of the current database, made if need be and looked up once per
 * process; NULL if there are none, or too many databases.
 */
static CaptureStats *
my_capture_stats(void)
{
	static CaptureStats *mine = NULL;
	bool				 found;

	if (mine || shared == NULL || !OidIsValid(MyDatabaseId))
		return mine;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	mine = hash_search(capture_stats, &MyDatabaseId, HASH_ENTER_NULL, &found);
	if (mine && !found)
	{
		pg_atomic_init_u64(&mine->captured, 0);
		pg_atomic_init_u64(&mine->skipped, 0);
		pg_atomic_init_u64(&mine->failed, 0);
		SpinLockInit(&mine->mutex);
		set_error(&mine->last_error, "", 0, 0);
	}
	LWLockRelease(shared->lock);
	return mine;
}

/* See stats.h. */
void
stats_count_captured(int64 events)
{
	CaptureStats *stats = my_capture_stats();

	if (stats)
		pg_atomic_fetch_add_u64(&stats->captured, events);
}

/* See stats.h. */
void
stats_count_skipped(int64 rows)
{
	CaptureStats *stats = my_capture_stats();

	if (stats)
		pg_atomic_fetch_add_u64(&stats->skipped, rows);
}

/* See stats.h. */
void
stats_count_failed(const char *error)
{
	CaptureStats *stats = my_capture_stats();
	TimestampTz	  now = GetCurrentTimestamp();
	int			  length = error_length(error);

	if (stats == NULL)
		return;
	pg_atomic_fetch_add_u64(&stats->failed, 1);
	SpinLockAcquire(&stats->mutex);
	set_error(&stats->last_error, error, length, now);
	SpinLockRelease(&stats->mutex);
}

/* See stats.h. */
void
stats_forget_database(Oid database)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	hash_search(capture_stats, &database, HASH_REMOVE, NULL);
	LWLockRelease(shared->lock);
}

/* ------------------------------------------------------------------------
 * Workers
 * ------------------------------------------------------------------------ */

static void
leave_statistics(int code, Datum argument)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_worker->pid = 0;
	LWLockRelease(shared->lock);
	my_worker = NULL;
}

/* See stats.h.  There are as many entries as there can be workers. */
void
stats_attach_worker(Oid database, int number)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->n_workers && my_worker == NULL; i++)
		if (shared->workers[i].pid == 0)
			my_worker = &shared->workers[i];
	if (my_worker)
	{
		memset(my_worker, 0, sizeof(WorkerStats));
		my_worker->pid = MyProcPid;
		my_worker->database = database;
		my_worker->number = number;
		my_worker->started_at = GetCurrentTimestamp();
		strlcpy(my_worker->doing, "starting", MAX_STATE_LENGTH);
	}
	LWLockRelease(shared->lock);
	if (my_worker)
		before_shmem_exit(leave_statistics, 0);
}

/* See stats.h. */
void
stats_report_config_loaded(void)
{
	if (my_worker)
		my_worker->config_loaded_at = GetCurrentTimestamp();
}

/* See stats.h. */
void
stats_report_state(const char *state, int in_flight, int connections)
{
	if (my_worker == NULL)
		return;
	my_worker->in_flight = in_flight;
	my_worker->connections = connections;
	if (strcmp(my_worker->doing, state) == 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	strlcpy(my_worker->doing, state, MAX_STATE_LENGTH);
	LWLockRelease(shared->lock);
}

/* See stats.h. */
void
stats_report_error(const char *message)
{
	if (my_worker == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	set_error(&my_worker->last_error, message, error_length(message),
			  GetCurrentTimestamp());
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
	for (int i = 0; i < shared->n_workers; i++)
	{
		WorkerStats *worker = &shared->workers[i];
		Datum		 values[10];
		bool		 nulls[10] = { false };

		if (worker->pid == 0)
			continue;
		values[0] = Int32GetDatum(worker->pid);
		values[1] = ObjectIdGetDatum(worker->database);
		values[2] = Int32GetDatum(worker->number);
		values[3] = CStringGetTextDatum(worker->doing);
		values[4] = Int32GetDatum(worker->in_flight);
		values[5] = Int32GetDatum(worker->connections);
		values[6] = timestamp_or_null(worker->started_at, &nulls[6]);
		values[7] = timestamp_or_null(worker->config_loaded_at, &nulls[7]);
		values[8] = text_or_null(worker->last_error.message, worker->database, &nulls[8]);
		values[9] = timestamp_or_null(worker->last_error.at, &nulls[9]);
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
	CaptureStats  *stats = my_capture_stats();
	LastError	   error = { 0 };
	Datum		   values[5];
	bool		   nulls[5] = { false };

	InitMaterializedSRF(fcinfo, 0);
	if (stats)
	{
		SpinLockAcquire(&stats->mutex);
		error = stats->last_error;
		SpinLockRelease(&stats->mutex);
	}
	values[0] = Int64GetDatum(stats ? pg_atomic_read_u64(&stats->captured) : 0);
	values[1] = Int64GetDatum(stats ? pg_atomic_read_u64(&stats->skipped) : 0);
	values[2] = Int64GetDatum(stats ? pg_atomic_read_u64(&stats->failed) : 0);
	values[3] = text_or_null(error.message, MyDatabaseId, &nulls[3]);
	values[4] = timestamp_or_null(error.at, &nulls[4]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}
