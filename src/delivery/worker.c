/*
 * worker.c
 *		The delivering process of one database.
 *
 * One loop: take signals, move the network along, judge results, read what is
 * new, record what is settled, start requests, then wait in one place for all
 * of it.  Here the rooms meet: dispatch.c and those around it decide, sender.c
 * and settler.c do, recovery.c deals with what goes wrong.
 *
 * After an error that no step has caught the worker forgets all it has in memory
 * and starts from the tables.
 */
#include "postgres.h"

#include <sys/resource.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/settings.h"
#include "base/version.h"
#include "delivery/dispatch.h"
#include "delivery/lane_roster.h"
#include "delivery/lane_window.h"
#include "delivery/recovery.h"
#include "delivery/sender.h"
#include "delivery/settler.h"
#include "delivery/statement.h"
#include "delivery/table_rotation.h"
#include "delivery/worker.h"
#include "network/http.h"
#include "process/slots.h"
#include "process/stats.h"

/* New rows taken in one by one; of more only the integrations are noted. */
#define MAX_NEW_ROWS 32768

/*
 * After reading what is new, the worker looks again by itself (ms), so that many
 * small commits wake it no more often than that.
 */
#define NAP_MS 1

/* Lanes read before the network gets its turn again. */
#define READ_BATCH 16

/* Until a partition that is in use is tried again (ms). */
#define ROTATION_RETRY_MS 5000

typedef struct Worker
{
	int			  number;  /* of those of this database, from 0 */
	MemoryContext context; /* one per turn of the loop */
	Recovery	  recovery;
	Settler		  settler;
	Sender		  sender;
	QueueReader	 *reader;
	Dispatch	 *dispatch;
	HttpClient	 *http;
	WaitEventSet *wait_events;

	/* what has to be done at the next occasion */
	bool		must_configure;	 /* read integrations */
	bool		must_read;		 /* read what is new */
	bool		must_start_over; /* nothing has been read yet */
	TimestampTz nap_until;		 /* what is new is not read before */

	TimestampTz rotate_at;
	bool		anything_new; /* since rotation was found to have nothing to do */
	int			foreign;	  /* integrations that were reported as restored or copied */
} Worker;

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

/* With several workers, each integration belongs to one of them. */
static bool
is_mine(const Worker *worker, const pg_uuid_t *integration_id)
{
	return setting_workers == 1 ||
		   hash_bytes(integration_id->data, UUID_LEN) % setting_workers == worker->number;
}

/* Once, and again if it changes, what a DBA should know; in a transaction. */
static void
report_foreign(Worker *worker, const Integrations *integrations)
{
	int count = 0;

	for (int i = 0; i < integrations->count; i++)
		count += !integrations->rows[i].is_ours;
	if (count > worker->foreign && worker->number == 0)
		ereport(
			WARNING,
			(errmsg(
				 "%d integrations of database \"%s\" are inactive because they came with a restored or copied database",
				 count, get_database_name(MyDatabaseId)),
			 errhint(
				 "To let them deliver from here, call featul_integrations.activate_restored().")));
	worker->foreign = count;
}

/* Step: takes over the integrations as they are now. */
static void
read_integrations(void *argument)
{
	Worker		*worker = argument;
	Integrations integrations;
	Delivery	*delivery;
	int			 n = 0;

	table_begin("reading integrations");
	if (!health_has_extension())
		recovery_leave(OUTCOME_NO_EXTENSION);
	version_check();
	integrations = health_read_integrations();
	report_foreign(worker, &integrations);
	table_commit();

	for (int i = 0; i < integrations.count; i++)
		if (is_mine(worker, &integrations.rows[i].id))
			integrations.rows[n++] = integrations.rows[i];
	integrations.count = n;
	roster_take(worker->dispatch, &integrations);
	while ((delivery = roster_next_abort(worker->dispatch)) != NULL)
		http_abort(worker->http, delivery);
	stats_report_config_loaded();
	worker->must_configure = false;
}

/* Takes over where there are unread rows. */
static void
take_marks(Worker *worker, const QueueMarks *marks)
{
	for (int i = 0; i < marks->count; i++)
		if (is_mine(worker, &marks->marks[i].integration_id))
			window_unread(worker->dispatch, &marks->marks[i].integration_id,
						  marks->marks[i].id);
}

/* Step: finds out which integrations have something pending. */
static void
read_pending(void *argument)
{
	Worker	  *worker = argument;
	QueueMarks marks;

	table_begin("looking for pending deliveries");
	marks = queue_read_pending(worker->reader);
	table_commit();
	queue_reader_advance(worker->reader);
	take_marks(worker, &marks);
	worker->must_start_over = worker->must_read = false;
}

/* Step: takes in what has been committed since the last time. */
static void
read_new(void *argument)
{
	Worker	  *worker = argument;
	QueueMarks marks;
	QueueRows  rows;

	table_begin("reading new deliveries");
	rows = queue_read_new(worker->reader, MAX_NEW_ROWS, &marks);
	table_commit();
	queue_reader_advance(worker->reader);
	for (int i = 0; i < rows.count; i++)
		if (is_mine(worker, &rows.rows[i].integration_id))
			window_new(worker->dispatch, &rows.rows[i]);
	take_marks(worker, &marks);
	if (rows.count > 0 || marks.count > 0)
		worker->anything_new = true;
	worker->must_read = false;
	worker->nap_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), NAP_MS);
}

/* Step: reads on in the lanes that have run low. */
static void
read_lanes(void *argument)
{
	Worker	  *worker = argument;
	RowsWanted wanted;

	for (int i = 0; i < READ_BATCH; i++)
	{
		QueueRows rows;

		if (!window_next_wanted(worker->dispatch, &wanted))
			break;
		table_begin("reading pending deliveries");
		rows = queue_read_lane(&wanted.integration_id, wanted.after, wanted.limit);
		table_commit();
		window_take_rows(&wanted, &rows);
		pfree(rows.rows);
	}
}

/* ------------------------------------------------------------------------
 * Rotation
 * ------------------------------------------------------------------------ */

/* Rotates the append-only tables. */
static void
rotate(Worker *worker)
{
	table_begin("rotating");
	worker->rotate_at = rotation_advance();
	table_commit();
	worker->anything_new = false;
}

/*
 * Rotation concerns nobody else: a lock that is not to be had is no error, and
 * a later time will do.
 */
static void
rotate_if_due(Worker *worker, TimestampTz now)
{
	if (worker->number != 0 || now < worker->rotate_at ||
		(worker->rotate_at == 0 && !worker->anything_new))
		return;
	PG_TRY();
	{
		rotate(worker);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(worker->context);
		if (geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE)
			(void) recovery_take_error(worker->context);
		else
			recovery_after_error(&worker->recovery);
		worker->rotate_at = TimestampTzPlusMilliseconds(now, ROTATION_RETRY_MS);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(worker->context);
}

/* ------------------------------------------------------------------------
 * A turn of the loop
 * ------------------------------------------------------------------------ */

/* What other processes want. */
static void
take_signals(Worker *worker)
{
	uint32 signals = slots_take_signals();

	if (signals & SIGNAL_STOP)
	{
		/* what is known now need not be sent again */
		settler_take_results(&worker->settler);
		if (settler_due_at(&worker->settler) != 0)
			(void) settler_record(&worker->settler);
		recovery_leave(OUTCOME_STOPPED);
	}
	if (signals & SIGNAL_RELOAD)
		worker->must_configure = true;
	if (signals & SIGNAL_WAKE)
		worker->must_read = worker->anything_new = true;
}

/* True if what is new is not read yet; whatever the clock does, not for long. */
static bool
is_napping(const Worker *worker, TimestampTz now)
{
	return !setting_delivery || (now < worker->nap_until &&
								 worker->nap_until - now <= NAP_MS * INT64CONST(1000));
}

/* Takes in what is new and what lanes need; false after an error. */
static bool
read_tables(Worker *worker, TimestampTz now)
{
	Recovery *recovery = &worker->recovery;

	if (worker->must_configure && !recovery_run(recovery, read_integrations, worker))
		return false;
	if (worker->must_start_over && !recovery_run(recovery, read_pending, worker))
		return false;
	if (worker->must_read && !is_napping(worker, now) &&
		!recovery_run(recovery, read_new, worker))
		return false;
	return recovery_run(recovery, read_lanes, worker);
}

/* Records what has come of it all; false after an error. */
static bool
write_tables(Worker *worker, TimestampTz now)
{
	Settler *settler = &worker->settler;
	bool	 cancelled;

	/* health first: who sees a delivery settled sees what it did to the status */
	if (settler_due(settler, now) &&
		(!settler_save_health(settler) || !settler_record(settler)))
		return false;
	if (!settler_deactivate(settler) || !settler_save_health(settler) ||
		!settler_cancel(settler, &cancelled))
		return false;
	worker->anything_new |= cancelled;
	rotate_if_due(worker, now);
	return true;
}

/*
 * All that needs the database.  Sending comes first, so that the endpoints work
 * while results are recorded.  False if it has to wait after an error; *again is
 * set if there is more to do at once.
 */
static bool
work_on_tables(Worker *worker, TimestampTz now, bool *again)
{
	if (now < worker->recovery.not_before || !read_tables(worker, now))
		return false;
	if (sender_send(&worker->sender, now))
		*again = true;
	if (now < worker->recovery.not_before)
		return false;
	http_work(worker->http);
	if (!write_tables(worker, now))
		return false;
	slots_report_ready();
	worker->recovery.pause_ms = 0;
	return true;
}

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------ */

/* Whether there is more to do than waiting. */
static bool
more_to_do(const Worker *worker)
{
	RowsWanted	wanted;
	ClosingLane closing;

	return window_next_wanted(worker->dispatch, &wanted) ||
		   roster_next_closing(worker->dispatch, &closing);
}

/* The earlier of two times, 0 meaning never. */
static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	return a == 0 ? b : b == 0 ? a : Min(a, b);
}

/* Milliseconds to wait at most; -1: for ever. */
static long
time_to_wait(const Worker *worker, bool again, bool paused)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = 0;
	long		network = http_timeout(worker->http);
	long		wait;

	if (paused)
		until = worker->recovery.not_before;
	else if (again)
		return 0;
	else
	{
		until = earlier(dispatch_due(worker->dispatch), settler_due_at(&worker->settler));
		if (setting_delivery && is_napping(worker, now))
			until = earlier(until, worker->nap_until);
		if (worker->number == 0)
			until = earlier(until, worker->rotate_at);
	}
	if (until == 0)
		return network;
	wait = until <= now ? 0 : (until - now + 999) / 1000;
	return network < 0 ? wait : Min(wait, network);
}

/* What pg_stat_activity and stat_worker show while waiting. */
static void
report_waiting(const Worker *worker, bool idle)
{
	char activity[64];
	int	 requests = dispatch_in_flight(worker->dispatch);

	if (!setting_delivery)
		strlcpy(activity, "delivery is off", sizeof(activity));
	else if (requests > 0)
		snprintf(activity, sizeof(activity), "%d requests in flight", requests);
	else
		strlcpy(activity, "waiting for events", sizeof(activity));
	pgstat_report_activity(STATE_IDLE, activity);
	stats_report_state(requests > 0 ? "delivering" : "idle", requests,
					   http_connections(worker->http));
	if (idle)
		pgstat_report_stat(true);
}

/* Takes over a changed configuration. */
static void
reload(Worker *worker)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	http_reconfigure(worker->http);
	dispatch_configure(worker->dispatch);
	stats_report_config_loaded();
	worker->rotate_at = 0;
	worker->anything_new = true;
}

/* Waits for signals, the network and time. */
static void
wait_for_something(Worker *worker, long timeout)
{
	WaitEvent events[3];
	int		  n;

	/* whatever the endpoints do, they hold up neither vacuum nor anybody's lock */
	Assert(!IsTransactionState());
	if (is_napping(worker, GetCurrentTimestamp()))
		(void) slots_nap(true);
	else if (slots_nap(false))
		timeout = 0;
	report_waiting(worker, timeout < 0);
	n = WaitEventSetWait(worker->wait_events, timeout, events, lengthof(events),
						 PG_WAIT_EXTENSION);
	for (int i = 0; i < n; i++)
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
		reload(worker);
}

/* ------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------ */

/* One turn of the loop. */
static void
turn(Worker *worker)
{
	TimestampTz now;
	bool		again = false;
	bool		paused;

	MemoryContextSwitchTo(worker->context);
	MemoryContextReset(worker->context);
	take_signals(worker);
	http_work(worker->http);
	settler_take_results(&worker->settler);

	now = GetCurrentTimestamp();
	dispatch_advance(worker->dispatch, now);
	paused = !work_on_tables(worker, now, &again);
	wait_for_something(worker, time_to_wait(worker, again || more_to_do(worker), paused));
}

/* Begins with nothing in memory. */
static void
start_over(Worker *worker)
{
	dispatch_destroy(worker->dispatch);
	worker->dispatch = NULL;
	worker->dispatch = dispatch_create(GetCurrentTimestamp());
	worker->http = http_create();
	worker->wait_events = compat_create_wait_event_set(3);
	AddWaitEventToSet(worker->wait_events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker->wait_events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	AddWaitEventToSet(worker->wait_events, WL_SOCKET_READABLE,
					  http_descriptor(worker->http), NULL, NULL);
	settler_reset(&worker->settler, worker->dispatch, worker->http);
	sender_reset(&worker->sender, worker->dispatch, worker->http);
	worker->must_start_over = worker->must_configure = true;
}

/* Aborts what is in flight. */
static void
stop_everything(Worker *worker)
{
	if (worker->wait_events)
		FreeWaitEventSet(worker->wait_events);
	worker->wait_events = NULL;
	if (worker->http)
		http_destroy(worker->http);
	worker->http = NULL;
}

/* Starts from the tables and turns until an error that no step has caught. */
static void
run(Worker *worker)
{
	PG_TRY();
	{
		start_over(worker);
		for (;;)
			turn(worker);
	}
	PG_CATCH();
	{
		recovery_after_error(&worker->recovery);
	}
	PG_END_TRY();
}

/*
 * A socket for each request, besides what PostgreSQL itself keeps open: the soft
 * limit of many systems (1,024) is too low, and raising it is free.
 */
static void
allow_descriptors(void)
{
	struct rlimit limit;
	rlim_t		  wanted = 2 * SETTING_MAX_IN_FLIGHT_BOUND;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = Min(wanted, limit.rlim_max);
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

/* The state of this process, for good; its context is current then. */
static Worker *
make_worker(int number)
{
	Worker *worker = MemoryContextAllocZero(TopMemoryContext, sizeof(Worker));

	worker->number = number;
	worker->anything_new = true;
	worker->context = AllocSetContextCreate(TopMemoryContext, "featul_integrations cycle",
											ALLOCSET_DEFAULT_SIZES);
	worker->recovery.context = worker->context;
	settler_init(&worker->settler, &worker->recovery);
	sender_init(&worker->sender, &worker->recovery, &worker->settler);
	MemoryContextSwitchTo(TopMemoryContext);
	worker->reader = queue_reader_create();
	MemoryContextSwitchTo(worker->context);
	return worker;
}

/* Entry point of a worker process; its argument is the key of its slot. */
void
featul_integrations_worker_main(Datum key)
{
	Oid		database;
	int		number;
	Worker *worker;

	if (!slots_attach_worker(DatumGetUInt64(key), &database, &number))
		proc_exit(0);
	stats_attach_worker(database, number);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	allow_descriptors();
	worker = make_worker(number);
	recovery_check_extension(&worker->recovery);
	table_init_session();
	for (;;)
	{
		run(worker);
		/* an error that no step expected: the tables know better than we do */
		MemoryContextSwitchTo(worker->context);
		stop_everything(worker);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 worker->recovery.pause_ms, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
