/*
 * worker.c
 *		The delivering process of one database.
 *
 * One loop: take signals, move the network along, judge results, then whatever else
 * is due (reader.c, sender.c, settler.c, rotation), and wait in one place for all of
 * it.  Each task tells from the state itself when it is due, and that alone decides both
 * whether it is done in a turn and how long the worker may sleep: nothing that is
 * left for later can be slept over.
 *
 * A task whose transaction fails is tried again after a pause (recovery.c).  After
 * any other error the worker forgets all it has in memory and starts from the tables.
 */
#include "postgres.h"

#include <sys/resource.h>

#include "access/xact.h"
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
#include "base/own_role.h"
#include "base/settings.h"
#include "delivery/dispatch.h"
#include "delivery/reader.h"
#include "delivery/recovery.h"
#include "delivery/sender.h"
#include "delivery/settler.h"
#include "delivery/statement.h"
#include "delivery/table_rotation.h"
#include "delivery/worker.h"
#include "network/http.h"
#include "process/slots.h"
#include "process/stats.h"

/* Until a partition that is in use is tried again (ms). */
#define ROTATION_RETRY_MS 5000

/* A time of day that rotation waits for is looked at again so often at least (ms). */
#define ROTATION_CHECK_MS (INT64CONST(3600) * 1000)

/* ------------------------------------------------------------------------
 * Settings
 * ------------------------------------------------------------------------ */

/*
 * Looks for what is wrong with the settings, after they have been read: then
 * deliveries wait.  Said once, and again if it changes.
 */
static void
check_settings(Worker *worker)
{
	const char *name = settings_misunderstood();
	const char *problem = http_problem(worker->http);
	char		now[sizeof(worker->problem)] = "";

	if (name)
		snprintf(now, sizeof(now), "%s cannot be used: the server log says why", name);
	else if (problem)
		strlcpy(now, problem, sizeof(now));
	if (now[0] && strcmp(now, worker->problem) != 0)
	{
		stats_report_error(now);
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("featul_integrations worker: nothing is delivered: %s", now),
				 errdetail("Deliveries wait; no attempt is used up."),
				 name
					 ? errhint("Correct the setting and reload; one that is given on the "
							   "server's command line needs a restart.")
					 : errhint("Install the system's CA certificates (Debian: "
							   "ca-certificates) or correct featul_integrations.ca_file, "
							   "and reload.")));
	}
	strlcpy(worker->problem, now, sizeof(worker->problem));
	settings_hold_delivery(now[0] != '\0');
}

/* ------------------------------------------------------------------------
 * Rotation
 * ------------------------------------------------------------------------ */

/* When it is time; the first worker does it for all. */
static Moment
rotation_due(const Worker *worker)
{
	if (worker->number != 0)
		return 0;
	if (worker->rotate_at != 0)
		return worker->rotate_at;
	return worker->rows_came ? MOMENT_PAST : 0;
}

/* Rotates the append-only tables. */
static void
rotate(Worker *worker)
{
	TimestampTz again;

	table_begin("rotating");
	again = rotation_advance();
	table_commit();
	worker->rotate_at = clock_of_timestamp(again, clock_now(), ROTATION_CHECK_MS);
	worker->rows_came = false;
}

/*
 * Rotation concerns nobody else: a lock that is not to be had is no error, and
 * a later time will do.
 */
static bool
rotate_or_wait(Worker *worker)
{
	PG_TRY();
	{
		rotate(worker);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(worker->recovery.context);
		if (geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE)
			(void) recovery_take_error(worker->recovery.context);
		else
			recovery_after_error(&worker->recovery);
		worker->rotate_at = clock_after_ms(clock_now(), ROTATION_RETRY_MS);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(worker->recovery.context);
	return true;
}

/* ------------------------------------------------------------------------
 * What there is to do
 * ------------------------------------------------------------------------ */

/*
 * Something that needs the database: when it is due, read off the state (0: not
 * at all), and the doing of it, which is false after an error.
 */
typedef struct Task
{
	Moment (*due)(const Worker *worker);
	bool (*run)(Worker *worker);
} Task;

/*
 * In the order of a turn.  Health comes before results: who sees a delivery settled
 * sees what it did to the status.
 */
static const Task tasks[] = {
	{ reader_integrations_due, reader_read_integrations },
	{ reader_pending_due, reader_read_pending },
	{ reader_recent_due, reader_read_recent },
	{ reader_lanes_due, reader_read_lanes },
	{ sender_due, sender_send },
	{ settler_health_due, settler_save_health },
	{ settler_results_due, settler_record },
	{ settler_gone_due, settler_deactivate },
	{ settler_closing_due, settler_cancel },
	{ rotation_due, rotate_or_wait },
};

/* Does what is due; after an error the rest waits until the pause is over. */
static void
run_tasks(Worker *worker)
{
	Moment now = clock_now();

	if (now < worker->recovery.not_before)
		return;
	for (int i = 0; i < lengthof(tasks); i++)
	{
		Moment due = tasks[i].due(worker);

		if (due != 0 && due <= now && !tasks[i].run(worker))
			return;
	}
	if (worker->recovery.not_before <= now)
		worker->recovery.pause_ms = 0;
	slots_report_ready();
}

/* When there will be something to do; 0: not before somebody says so. */
static Moment
next_due(const Worker *worker, Moment now)
{
	Moment due = 0;

	for (int i = 0; i < lengthof(tasks); i++)
		due = clock_earlier(due, tasks[i].due(worker));
	if (due != 0)
		due = Max(due, worker->recovery.not_before);
	due = clock_earlier(due, dispatch_due(worker->dispatch));
	due = clock_earlier(due, reader_nap_over(worker, now));
	if (http_has_result(worker->http) || ConfigReloadPending || InterruptPending)
		due = MOMENT_PAST;
	return due;
}

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------ */

/* Milliseconds to wait at most; -1: for ever. */
static long
time_to_wait(const Worker *worker)
{
	Moment now = clock_now();
	Moment due = next_due(worker, now);
	long   network = http_timeout(worker->http);
	long   wait;

	if (due == 0)
		return network;
	wait = due <= now ? 0 : (due - now + 999) / 1000;
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
	else if (!settings_may_deliver())
		strlcpy(activity, "waiting for valid settings", sizeof(activity));
	else if (requests > 0)
		snprintf(activity, sizeof(activity), "%d requests in flight", requests);
	else
		strlcpy(activity, "waiting for events", sizeof(activity));
	pgstat_report_activity(STATE_IDLE, activity);
	stats_report_state(!setting_delivery		 ? "off"
					   : !settings_may_deliver() ? "settings are bad"
					   : requests > 0			 ? "delivering"
												 : "idle",
					   requests, http_connections(worker->http));
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
	check_settings(worker);
	dispatch_configure(worker->dispatch);
	stats_report_config_loaded();
	worker->rotate_at = 0;
	worker->rows_came = true;
}

/* Waits for signals, the network and time. */
static void
wait_for_something(Worker *worker)
{
	long	  timeout = time_to_wait(worker);
	WaitEvent events[3];
	int		  n;

	/* whatever the endpoints do, they hold up neither vacuum nor anybody's lock */
	Assert(!IsTransactionState());
	if (reader_naps(worker, clock_now()))
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

/* What other processes want. */
static void
take_signals(Worker *worker)
{
	uint32 signals = slots_take_signals();

	if (signals & SIGNAL_STOP)
	{
		/* what is known now need not be sent again */
		settler_take_results(worker);
		while (settler_results_due(worker) != 0 && settler_record(worker))
			;
		recovery_leave(OUTCOME_STOPPED);
	}
	reader_note(worker, signals);
}

/* One turn of the loop. */
static void
turn(Worker *worker)
{
	MemoryContextSwitchTo(worker->recovery.context);
	MemoryContextReset(worker->recovery.context);
	take_signals(worker);
	http_work(worker->http);
	settler_take_results(worker);
	dispatch_set_time(worker->dispatch, clock_now(), GetCurrentTimestamp());
	settler_share_holds(worker);
	dispatch_advance(worker->dispatch);
	run_tasks(worker);
	wait_for_something(worker);
}

/* Begins with nothing in memory. */
static void
start_over(Worker *worker)
{
	dispatch_destroy(worker->dispatch);
	worker->dispatch = NULL;
	worker->dispatch = dispatch_create();
	dispatch_set_time(worker->dispatch, clock_now(), GetCurrentTimestamp());
	worker->http = http_create();
	check_settings(worker);
	worker->wait_events = compat_create_wait_event_set(3);
	AddWaitEventToSet(worker->wait_events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker->wait_events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	AddWaitEventToSet(worker->wait_events, WL_SOCKET_READABLE,
					  http_descriptor(worker->http), NULL, NULL);
	reader_reset(worker);
	settler_reset(worker);
	sender_reset(worker);
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
run_until_error(Worker *worker)
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
	worker->recovery.context = AllocSetContextCreate(
		TopMemoryContext, "featul_integrations cycle", ALLOCSET_DEFAULT_SIZES);
	settler_init(worker);
	reader_init(worker);
	MemoryContextSwitchTo(worker->recovery.context);
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
	if (!own_role_adopt())
		recovery_leave(OUTCOME_NO_EXTENSION);
	allow_descriptors();
	worker = make_worker(number);
	recovery_check_extension(&worker->recovery);
	table_init_session();
	for (;;)
	{
		run_until_error(worker);
		/* an error that no step expected: the tables know better than we do */
		MemoryContextSwitchTo(worker->recovery.context);
		stop_everything(worker);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 worker->recovery.pause_ms, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
