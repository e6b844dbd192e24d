/*
 * launcher.c
 *		Finds the databases that have the extension and keeps their workers.
 *
 * The launcher is connected to no database, so it stands in nobody's way, and
 * cannot look into one: for each database it does not know yet it starts a
 * worker, which ends at once if it finds no extension there.  It then waits on
 * its latch, without a time-out unless something is to be tried again.  It is
 * woken by workers that end, by statements that make, change or drop databases
 * (utility_hook.c) and at the commit of CREATE EXTENSION.
 *
 * A worker that ended comes back after a second; one that keeps failing before
 * it gets to deliver anything, with growing pauses.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "process/launcher.h"
#include "process/slots.h"
#include "process/stats.h"

/* Workers at once that only look whether a database has the extension. */
#define MAX_PROBES 3

/* Pauses before a worker is started again (ms). */
#define RESTART_DELAY 1000
#define MAX_RESTART_DELAY 60000

typedef enum Extension
{
	EXTENSION_UNKNOWN, /* a worker has to look */
	EXTENSION_ABSENT,
	EXTENSION_PRESENT
} Extension;

/* A database as the launcher knows it. */
typedef struct Target
{
	Oid			database; /* hash key */
	Extension	extension;
	bool		exists; /* seen in the last reading of pg_database */
	bool		connectable;
	int			failures;	/* starts in a row that did not come to deliver */
	TimestampTz not_before; /* no start before this time */
} Target;

/* A worker that has been registered and has not come up yet. */
typedef struct Start
{
	uint64					key; /* of its reservation; 0: none */
	BackgroundWorkerHandle *handle;
	Oid						database;
} Start;

static HTAB	 *targets = NULL;
static Start *starts = NULL; /* max_worker_processes of them */

static bool must_list = true; /* pg_database has to be read */

/* Registering workers fails while max_worker_processes is used up. */
static bool		   out_of_workers = false;
static int		   out_of_workers_delay = RESTART_DELAY;
static TimestampTz register_not_before = 0;

/* See launcher.h. */
void
launcher_register(void)
{
	BackgroundWorker worker = { 0 };

	/* pg_upgrade wants no writes but its own */
	if (IsBinaryUpgrade)
		return;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "featul_integrations",
			sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "featul_integrations_launcher_main",
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "featul_integrations launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "featul_integrations launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* Milliseconds before the next start after so many failures in a row. */
static int
restart_delay(int failures)
{
	return failures >= 6 ? MAX_RESTART_DELAY
						 : Min(MAX_RESTART_DELAY, RESTART_DELAY << failures);
}

/* The target of a database, made if need be. */
static Target *
target_of(Oid database)
{
	bool	found;
	Target *target = hash_search(targets, &database, HASH_ENTER, &found);

	if (!found)
	{
		target->extension = EXTENSION_UNKNOWN;
		target->connectable = false;
		target->failures = 0;
		target->not_before = 0;
	}
	return target;
}

/*
 * A database as pg_database has it.  One that nobody can connect to may have
 * sessions still; once it is open again, a worker has to look anew.
 */
static void
list_database(const FormData_pg_database *database)
{
	Target *target = target_of(database->oid);
	/* datconnlimit -2 marks a database whose DROP was interrupted */
	bool connectable = database->datallowconn && database->datconnlimit != -2;

	if (connectable && !target->connectable)
		target->extension = EXTENSION_UNKNOWN;
	target->connectable = connectable;
	target->exists = true;
}

/*
 * Reads pg_database: new databases become targets to look at, dropped ones are
 * forgotten.
 */
static void
list_databases(void)
{
	Relation		relation;
	TableScanDesc	scan;
	HeapTuple		tuple;
	HASH_SEQ_STATUS sequence;
	Target		   *target;

	hash_seq_init(&sequence, targets);
	while ((target = hash_seq_search(&sequence)) != NULL)
		target->exists = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
		list_database((Form_pg_database) GETSTRUCT(tuple));
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	must_list = false;

	hash_seq_init(&sequence, targets);
	while ((target = hash_seq_search(&sequence)) != NULL)
	{
		if (target->exists)
			continue;
		slots_forget_database(target->database);
		stats_forget_database(target->database);
		hash_search(targets, &target->database, HASH_REMOVE, NULL);
	}
}

/* Takes note of how a worker ended. */
static void
worker_ended(const EndedWorker *ended)
{
	Target *target = hash_search(targets, &ended->database, HASH_FIND, NULL);

	/* there is room for another one */
	register_not_before = 0;
	if (target == NULL)
		return;
	switch (ended->outcome)
	{
		case OUTCOME_NO_EXTENSION:
			target->extension = EXTENSION_ABSENT;
			target->failures = 0;
			break;
		case OUTCOME_STOPPED:
			target->failures = 0;
			break;
		case OUTCOME_FAILED:
			target->failures = ended->was_ready ? 0 : target->failures + 1;
			target->not_before = TimestampTzPlusMilliseconds(
				GetCurrentTimestamp(), restart_delay(target->failures));
			/* perhaps its database is gone */
			must_list = true;
			break;
	}
	if (ended->was_ready && ended->outcome != OUTCOME_NO_EXTENSION)
		target->extension = EXTENSION_PRESENT;
}

/* Takes note of workers that came up, and of those that never will. */
static void
check_starts(void)
{
	for (int i = 0; i < max_worker_processes; i++)
	{
		Start  *start = &starts[i];
		pid_t	pid;
		Target *target;

		if (start->key == 0 ||
			GetBackgroundWorkerPid(start->handle, &pid) == BGWH_NOT_YET_STARTED)
			continue;
		if (GetBackgroundWorkerPid(start->handle, &pid) == BGWH_STOPPED &&
			slots_cancel_reservation(start->key) &&
			(target = hash_search(targets, &start->database, HASH_FIND, NULL)) != NULL)
			target->not_before = TimestampTzPlusMilliseconds(
				GetCurrentTimestamp(), restart_delay(++target->failures));
		pfree(start->handle);
		start->key = 0;
	}
}

/* Once until it works again: no free background worker. */
static void
report_out_of_workers(void)
{
	if (!out_of_workers)
		ereport(
			LOG,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg(
				 "featul_integrations could not start a worker: no free background worker slot"),
			 errdetail("Deliveries of the databases concerned wait."),
			 errhint(
				 "Increase max_worker_processes; featul_integrations needs one for its launcher and one for each worker of each database that has the extension.")));
	out_of_workers = true;
	register_not_before =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), out_of_workers_delay);
	out_of_workers_delay = Min(2 * out_of_workers_delay, MAX_RESTART_DELAY / 4);
}

/* Starts a worker; false if there is no room for one now. */
static bool
start_worker(Oid database, int number)
{
	BackgroundWorker worker = { 0 };
	Start			*start = NULL;
	MemoryContext	 old_context;
	bool			 registered;
	uint64			 key;

	for (int i = 0; i < max_worker_processes && start == NULL; i++)
		if (starts[i].key == 0)
			start = &starts[i];
	if (start == NULL || (key = slots_reserve_worker(database, number)) == 0)
		return false;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "featul_integrations",
			sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "featul_integrations_worker_main",
			sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, BGW_MAXLEN, "featul_integrations worker %d of database %u",
			 number, database);
	strlcpy(worker.bgw_type, "featul_integrations worker", BGW_MAXLEN);
	worker.bgw_main_arg = UInt64GetDatum(key);
	worker.bgw_notify_pid = MyProcPid;
	old_context = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &start->handle);
	MemoryContextSwitchTo(old_context);
	if (!registered)
	{
		slots_cancel_reservation(key);
		report_out_of_workers();
		return false;
	}
	start->key = key;
	start->database = database;
	out_of_workers = false;
	out_of_workers_delay = RESTART_DELAY;
	register_not_before = 0;
	return true;
}

/* The earlier of two times, 0 meaning never. */
static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	return a == 0 ? b : b == 0 ? a : Min(a, b);
}

/*
 * Starts the workers of a target that are missing.  Returns when to try again
 * if something has to wait for a time, else 0.
 */
static TimestampTz
start_missing(Target *target, TimestampTz now, int *probes)
{
	int wanted = target->extension == EXTENSION_PRESENT ? setting_workers : 1;

	if (!target->connectable || target->extension == EXTENSION_ABSENT ||
		slots_database_blocked(target->database))
		return 0;
	for (int number = 0; number < wanted; number++)
	{
		if (slots_has_worker(target->database, number))
		{
			*probes += target->extension == EXTENSION_UNKNOWN;
			continue;
		}
		if (Max(target->not_before, register_not_before) > now)
			return Max(target->not_before, register_not_before);
		if (target->extension == EXTENSION_UNKNOWN && ++*probes > MAX_PROBES)
			return 0; /* the end of another wakes us */
		if (!start_worker(target->database, number))
			return register_not_before;
	}
	return 0;
}

/* Brings workers and databases into line; returns when to do so again, or 0. */
static TimestampTz
supervise(void)
{
	EndedWorker		ended;
	HASH_SEQ_STATUS sequence;
	Target		   *target;
	TimestampTz		now, again = 0;
	Oid				database;
	int				probes = 0;

	check_starts();
	while (slots_take_ended(&ended))
		worker_ended(&ended);
	while (OidIsValid(database = slots_take_check()))
	{
		target = target_of(database);
		target->extension = EXTENSION_UNKNOWN;
		target->failures = 0;
		target->not_before = 0;
		must_list = true;
	}
	if (slots_take_relist() || must_list)
		list_databases();

	now = GetCurrentTimestamp();
	hash_seq_init(&sequence, targets);
	while ((target = hash_seq_search(&sequence)) != NULL)
	{
		if (target->extension == EXTENSION_UNKNOWN &&
			slots_worker_is_ready(target->database))
			target->extension = EXTENSION_PRESENT;
		again = earlier(again, start_missing(target, now, &probes));
	}
	return again;
}

/* Entry point of the launcher process. */
void
featul_integrations_launcher_main(Datum unused)
{
	HASHCTL info = { .keysize = sizeof(Oid), .entrysize = sizeof(Target) };

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	info.hcxt = TopMemoryContext;
	targets = hash_create("featul_integrations targets", 64, &info,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	starts =
		MemoryContextAllocZero(TopMemoryContext, max_worker_processes * sizeof(Start));
	slots_attach_launcher();
	pgstat_report_activity(STATE_IDLE, "waiting for databases and workers");

	for (;;)
	{
		TimestampTz again = supervise();
		int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
		long		timeout = -1;

		if (again != 0)
		{
			events |= WL_TIMEOUT;
			timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), again);
		}
		(void) WaitLatch(MyLatch, events, timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}
