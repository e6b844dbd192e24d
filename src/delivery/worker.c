/*
 * worker.c
 *		The delivering process of one database.
 *
 * One loop: take signals, move the network along, judge results, read what is
 * new, record what is settled, start requests, then wait in one place for all
 * of it.  dispatch.c decides, queue.c talks to the tables, http.c to the
 * network; here they meet.
 *
 * Each step that needs the database is a transaction of its own and changes
 * the state in memory only once it has committed.  If it fails, the worker waits
 * with growing pauses and tries again; results that could not be recorded are
 * kept, and nothing new is started meanwhile.  After any other error the worker
 * forgets all it has in memory and starts from the tables.
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

#include "channel/channel.h"
#include "base/compat.h"
#include "base/own_role.h"
#include "delivery/dispatch.h"
#include "network/http.h"
#include "delivery/queue.h"
#include "base/settings.h"
#include "process/slots.h"
#include "process/stats.h"
#include "delivery/worker.h"

/* New rows taken in one by one; of more only the integrations are noted. */
#define MAX_NEW_ROWS 32768

/*
 * After reading what is new, the worker looks again by itself (ms), so that many
 * small commits wake it no more often than that.
 */
#define NAP_MS 1

/* Requests started, and lanes read, before the network gets its turn again. */
#define START_BATCH 64
#define READ_BATCH 16

/* Events read with one statement: of those being started, then of those to come. */
#define EVENT_BATCH 256

/* Deliveries that one message to people stands for, itself not counted. */
#define MERGE_LIMIT 499

/* Results are recorded when there are so many, or when the oldest is so old (ms). */
#define SETTLE_BATCH 256
#define SETTLE_MS 20

/* Results not recorded yet beyond which nothing new is started. */
#define MAX_UNSETTLED 2048

/* Until a slot that is in use is tried again (ms). */
#define ROTATION_RETRY_MS 5000

#define CANCEL_BATCH 1000
#define HEALTH_BATCH 500

/* Characters of a response that are kept (design 5). */
#define RESPONSE_CHARACTERS 1000

/* Pauses after an error (ms). */
#define MIN_PAUSE 100
#define MAX_PAUSE 30000

/* A failure that repeats is logged once in so long (ms). */
#define LOG_PERIOD 60000

static int			 worker_number = 0;
static HttpClient	*http = NULL;
static WaitEventSet *wait_events = NULL;

/* What has to be done at the next occasion. */
static bool must_configure = false; /* read integrations */
static bool must_read = false;		/* read what is new */
static bool must_start_over = true; /* nothing has been read yet */

static TimestampTz nap_until = 0; /* what is new is not read before */

/* Results to be recorded, oldest first, and what they point to. */
static Settlement  **unsettled = NULL;
static int			 unsettled_room = 0;
static int			 n_unsettled = 0;
static TimestampTz	 unsettled_since = 0;
static MemoryContext settlement_context = NULL;

/* One per cycle. */
static MemoryContext cycle_context = NULL;

/* After an error. */
static int		   pause_ms = 0;
static TimestampTz not_before = 0;
static int		   logged_code = 0;
static TimestampTz logged_at = 0;
static int		   settle_failures = 0;

static TimestampTz rotate_at = 0;
static bool anything_new = true; /* since rotation was found to have nothing to do */

/* ------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------ */

/* Ends this process; the launcher knows what to make of the outcome. */
static void
leave(WorkerOutcome outcome)
{
	slots_report_outcome(outcome);
	proc_exit(0);
}

/* True if the extension is (still) there; never raises an error. */
static bool
extension_present(void)
{
	volatile bool present = true;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		present = queue_has_extension();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cycle_context);
	return present;
}

/*
 * After an error: ends the transaction, reports the error (once, if it
 * repeats) and sets a pause.  To be called in PG_CATCH.
 */
static void
recover_from_error(void)
{
	ErrorData  *error;
	TimestampTz now = GetCurrentTimestamp();

	MemoryContextSwitchTo(cycle_context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(cycle_context);

	/* an error of statements whose tables have just been dropped is none */
	if (!own_role_adopt() || !extension_present())
		leave(OUTCOME_NO_EXTENSION);

	stats_report_error(error->message);
	if (error->sqlerrcode != logged_code ||
		now - logged_at > LOG_PERIOD * INT64CONST(1000))
	{
		ereport(
			WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("featul_integrations worker: %s", error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->context ? errcontext("%s", error->context) : 0,
			 errhint(
				 "The worker tries again by itself; the same failure is not logged again within a minute.")));
		logged_code = error->sqlerrcode;
		logged_at = now;
	}
	pause_ms = Min(MAX_PAUSE, Max(MIN_PAUSE, 2 * pause_ms));
	not_before = TimestampTzPlusMilliseconds(now, pause_ms);
}

/* Runs a step that needs the database; false if it failed. */
static bool
step(void (*function)(void))
{
	volatile bool succeeded = false;

	PG_TRY();
	{
		function();
		succeeded = true;
	}
	PG_CATCH();
	{
		recover_from_error();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cycle_context);
	return succeeded;
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

/* With several workers, each integration belongs to one of them. */
static bool
mine(const pg_uuid_t *integration_id)
{
	return setting_workers == 1 ||
		   hash_bytes(integration_id->data, UUID_LEN) % setting_workers == worker_number;
}

/* Once, and again if it changes, what a DBA should know. */
static void
report_foreign(int count)
{
	static int reported = 0;

	if (count > reported && worker_number == 0)
		ereport(
			WARNING,
			(errmsg(
				 "%d integrations of database \"%s\" are inactive because they came with a restored or copied database",
				 count, get_database_name(MyDatabaseId)),
			 errhint(
				 "To let them deliver from here, call featul_integrations.activate_restored().")));
	reported = count;
}

/* Step: takes over the integrations as they are now. */
static void
read_integrations(void)
{
	Integrations integrations;
	Delivery	*delivery;
	int			 foreign = 0;
	int			 n = 0;

	queue_begin("reading integrations");
	if (!queue_has_extension())
		leave(OUTCOME_NO_EXTENSION);
	integrations = queue_integrations();
	for (int i = 0; i < integrations.count; i++)
		foreign += !integrations.rows[i].is_ours;
	report_foreign(foreign);
	queue_commit();

	for (int i = 0; i < integrations.count; i++)
		if (mine(&integrations.rows[i].id))
			integrations.rows[n++] = integrations.rows[i];
	integrations.count = n;
	dispatch_integrations(&integrations);
	while ((delivery = dispatch_next_abort()) != NULL)
		http_abort(http, delivery);
	stats_report_config_loaded();
	must_configure = false;
}

static void
take_marks(const QueueMarks *marks)
{
	for (int i = 0; i < marks->count; i++)
		if (mine(&marks->marks[i].integration_id))
			dispatch_unread(&marks->marks[i].integration_id, marks->marks[i].id);
}

/* Step: finds out which integrations have something pending. */
static void
read_pending(void)
{
	QueueMarks marks;

	queue_begin("looking for pending deliveries");
	marks = queue_read_pending();
	queue_commit();
	take_marks(&marks);
	must_start_over = must_read = false;
}

/* Step: takes in what has been committed since the last time. */
static void
read_new(void)
{
	QueueMarks marks;
	QueueRows  rows;

	queue_begin("reading new deliveries");
	rows = queue_read_new(MAX_NEW_ROWS, &marks);
	queue_commit();
	for (int i = 0; i < rows.count; i++)
		if (mine(&rows.rows[i].integration_id))
			dispatch_new(&rows.rows[i]);
	take_marks(&marks);
	if (rows.count > 0 || marks.count > 0)
		anything_new = true;
	must_read = false;
	nap_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), NAP_MS);
}

/* Step: reads on in the lanes that have run low. */
static void
read_lanes(void)
{
	pg_uuid_t integration_id;
	int64	  after;
	int		  limit;

	for (int i = 0; i < READ_BATCH; i++)
	{
		Lane	 *lane = dispatch_next_hungry(&integration_id, &after, &limit);
		QueueRows rows;

		if (lane == NULL)
			break;
		queue_begin("reading pending deliveries");
		rows = queue_read_lane(&integration_id, after, limit);
		queue_commit();
		dispatch_rows(lane, &rows, limit);
		pfree(rows.rows);
	}
}

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

/* Adds a settlement to those that are to be recorded. */
static void
add_unsettled(Settlement *settlement)
{
	if (n_unsettled == unsettled_room)
	{
		int room = Max(2 * unsettled_room, MAX_UNSETTLED);

		unsettled =
			unsettled_room == 0
				? MemoryContextAlloc(TopMemoryContext, room * sizeof(Settlement *))
				: repalloc(unsettled, room * sizeof(Settlement *));
		unsettled_room = room;
	}
	unsettled[n_unsettled++] = settlement;
}

/* A settlement to be recorded, zeroed; its texts go to settlement_context. */
static Settlement *
new_settlement(void)
{
	Settlement *settlement =
		MemoryContextAllocZero(settlement_context, sizeof(Settlement));

	if (n_unsettled == 0)
		unsettled_since = GetCurrentTimestamp();
	return settlement;
}

/* What came of the deliveries that went out with another. */
static void
take_merged_results(const Settlement *leader, const Verdict *verdict)
{
	for (;;)
	{
		Settlement *settlement = new_settlement();

		if (!dispatch_merged_result(leader, verdict, settlement))
			return;
		add_unsettled(settlement);
	}
}

/* What came of one transfer. */
static void
take_result(HttpResult *result)
{
	Delivery	 *delivery = result->tag;
	Endpoint	  endpoint;
	Verdict		  verdict;
	Settlement	 *settlement = new_settlement();
	MemoryContext old_context = MemoryContextSwitchTo(settlement_context);
	TimestampTz	  now = GetCurrentTimestamp();

	dispatch_endpoint(delivery, now, &endpoint);
	verdict = channel_judge(endpoint.channel, result);
	settlement->http_status = result->status;
	settlement->error = verdict.error;
	settlement->duration_ms = result->duration_ms;
	if (result->body_length > 0)
		settlement->response = channel_response_excerpt(result, RESPONSE_CHARACTERS);
	dispatch_result(delivery, &verdict, now, settlement);
	add_unsettled(settlement);
	take_merged_results(settlement, &verdict);
	MemoryContextSwitchTo(old_context);
}

/* The response being judged; an error then is on its account. */
static HttpResult *judging = NULL;

/* Judges what has arrived.  A transaction, as texts may have to be converted. */
static void
judge_results(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	while ((judging = http_next_result(http)) != NULL)
	{
		take_result(judging);
		http_release(http, judging);
	}
	CommitTransactionCommand();
}

/* In PG_CATCH: a response that cannot even be judged is a failed attempt. */
static void
judging_failed(void)
{
	Delivery   *delivery = judging->tag;
	Verdict		verdict = { .kind = VERDICT_RETRY };
	Settlement *settlement;
	ErrorData  *error;

	MemoryContextSwitchTo(settlement_context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	settlement = new_settlement();
	settlement->http_status = judging->status;
	settlement->duration_ms = judging->duration_ms;
	settlement->error = verdict.error = error->message;
	dispatch_result(delivery, &verdict, GetCurrentTimestamp(), settlement);
	add_unsettled(settlement);
	take_merged_results(settlement, &verdict);
	http_release(http, judging);
	judging = NULL;
}

/* Judges all that has arrived. */
static void
take_results(void)
{
	while (http_has_result(http))
	{
		PG_TRY();
		{
			judge_results();
		}
		PG_CATCH();
		{
			if (judging == NULL)
				PG_RE_THROW();
			judging_failed();
		}
		PG_END_TRY();
		MemoryContextSwitchTo(cycle_context);
	}
}

/* The settlements recorded by record_settlements(). */
static int recording_from;
static int recording_count;

/* Step: records some of the results. */
static void
record_settlements(void)
{
	queue_begin("recording results");
	queue_settle(unsettled + recording_from, recording_count);
	queue_commit();
}

/* Forgets the first results, which have been recorded or given up. */
static void
drop_settlements(int count)
{
	Assert(0 < count && count <= n_unsettled);
	for (int i = 0; i < count; i++)
		dispatch_settled(unsettled[i]);
	n_unsettled -= count;
	memmove(unsettled, unsettled + count, n_unsettled * sizeof(Settlement *));
	unsettled_since = GetCurrentTimestamp();
	if (n_unsettled == 0)
		MemoryContextReset(settlement_context);
}

/*
 * Records results one by one, after they could not be recorded together.  One
 * that fails is tried without its texts; if it still fails where another one
 * has succeeded, it is set aside: it stays in the queue, and this process does
 * not touch it again.
 */
static void
settle_one_by_one(void)
{
	int succeeded = 0;

	while (n_unsettled > 0)
	{
		Settlement *settlement = unsettled[0];
		bool		recorded;

		recording_from = 0;
		recording_count = 1;
		recorded = step(record_settlements);
		if (!recorded && settlement->response)
		{
			settlement->response = NULL;
			recorded = step(record_settlements);
		}
		if (!recorded && succeeded == 0)
		{
			/* try another first next time */
			memmove(unsettled, unsettled + 1, (n_unsettled - 1) * sizeof(Settlement *));
			unsettled[n_unsettled - 1] = settlement;
			return;
		}
		if (recorded)
			succeeded++;
		else
			ereport(
				WARNING,
				(errmsg("featul_integrations worker: the result of delivery " INT64_FORMAT
						" could not be recorded and is set aside",
						settlement->id)));
		drop_settlements(1);
	}
}

/* Records the results; false if some are left. */
static bool
settle(void)
{
	if (settle_failures >= 2)
		settle_one_by_one();
	else
	{
		recording_from = 0;
		recording_count = n_unsettled;
		if (step(record_settlements))
			drop_settlements(n_unsettled);
	}
	settle_failures = n_unsettled == 0 ? 0 : settle_failures + 1;
	return n_unsettled == 0;
}

/*
 * True if results should be recorded now: in any case before the rest of an
 * integration's deliveries is cancelled, or these would be taken for pending.
 */
static bool
settlement_due(TimestampTz now)
{
	pg_uuid_t	closing;
	const char *reason;

	if (n_unsettled == 0)
		return false;
	/* what could be sent has been: with nothing in flight there is nothing to wait for */
	return n_unsettled >= SETTLE_BATCH || dispatch_in_flight() == 0 ||
		   now - unsettled_since >= SETTLE_MS * INT64CONST(1000) ||
		   dispatch_next_closing(&closing, &reason) != NULL;
}

/* ------------------------------------------------------------------------
 * Health and the end of integrations
 * ------------------------------------------------------------------------ */

/* Step: writes down how integrations fare. */
static void
save_health(void)
{
	int			  count;
	HealthChange *changes = dispatch_health(HEALTH_BATCH, &count);

	if (count == 0)
		return;
	queue_begin("recording health");
	queue_save_health(changes, count);
	queue_commit();
	dispatch_health_saved(changes, count, GetCurrentTimestamp());
}

/* Step: makes integrations inactive whose endpoint is gone. */
static void
deactivate(void)
{
	pg_uuid_t	integration_id;
	TimestampTz updated_at;
	const char *reason;
	Lane	   *lane;

	while ((lane = dispatch_next_gone(&integration_id, &updated_at, &reason)) != NULL)
	{
		Deactivation result;

		queue_begin("making an integration inactive");
		result = queue_deactivate(&integration_id, updated_at, reason);
		queue_commit();
		dispatch_deactivated(lane, result, GetCurrentTimestamp());
	}
}

/* Step: cancels a batch of what is pending for an integration that is gone. */
static void
cancel(void)
{
	pg_uuid_t	integration_id;
	const char *reason;
	Lane	   *lane = dispatch_next_closing(&integration_id, &reason);
	int			count;

	if (lane == NULL)
		return;
	queue_begin("cancelling deliveries");
	count = queue_cancel(&integration_id, reason, CANCEL_BATCH);
	if (count < CANCEL_BATCH)
		queue_forget(&integration_id);
	queue_commit();
	dispatch_cancelled(lane, count, CANCEL_BATCH);
	anything_new = true;
}

/* Step: rotates the append-only tables. */
static void
rotate(void)
{
	queue_begin("rotating");
	rotate_at = queue_rotate();
	queue_commit();
	anything_new = false;
}

/*
 * Rotation concerns nobody else: a lock that is not to be had is no error, and
 * a later time will do.
 */
static void
rotate_if_due(TimestampTz now)
{
	if (worker_number != 0 || now < rotate_at || (rotate_at == 0 && !anything_new))
		return;
	PG_TRY();
	{
		rotate();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(cycle_context);
		if (geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE)
		{
			FlushErrorState();
			AbortCurrentTransaction();
		}
		else
			recover_from_error();
		rotate_at = TimestampTzPlusMilliseconds(now, ROTATION_RETRY_MS);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cycle_context);
}

/* ------------------------------------------------------------------------
 * Sending
 * ------------------------------------------------------------------------ */

/* The deliveries being started: NULL once that has succeeded or failed. */
static Delivery *starting[START_BATCH];
static int		 n_starting = 0;
static int		 rendering = -1; /* index of the one being rendered */

/* The deliveries whose events are read: some of those being started, then others. */
static Delivery *loading[EVENT_BATCH];
static int		 loading_index[EVENT_BATCH]; /* in starting; -1: to be kept */
static int		 n_loading = 0;

/* Renders and sends one. */
static void
start_delivery(int index, const Event *event)
{
	Delivery   *delivery = starting[index];
	Endpoint	endpoint;
	HttpRequest request;

	Event merged = *event;

	Assert(delivery != NULL);
	rendering = index;
	merged.count = dispatch_merged(delivery);
	dispatch_endpoint(delivery, GetCurrentTimestamp(), &endpoint);
	channel_request(&endpoint, &merged, &request);
	request.tag = delivery;
	http_start(http, &request);
	starting[index] = NULL;
	rendering = -1;
}

/*
 * Lets deliveries to people go out as one message where many are waiting: those
 * that come next about the same post, as long as they are the same event.
 */
static void
merge_waiting(Delivery *delivery)
{
	EventKey keys[MERGE_LIMIT + 1];
	int		 count = dispatch_mergeable(delivery, keys, MERGE_LIMIT);
	int		 same = 0;
	char   **names;

	if (count == 0)
		return;
	names = queue_event_names(keys, count + 1);
	if (names[0] == NULL || (strcmp(names[0], "post.upvoted") != 0 &&
							 strcmp(names[0], "comment.reaction") != 0))
		return;
	while (same < count && names[same + 1] && strcmp(names[same + 1], names[0]) == 0)
		same++;
	dispatch_merge(delivery, same);
}

/* Sends those whose events are here already; the others are to be loaded. */
static void
start_loaded(void)
{
	n_loading = 0;
	for (int i = 0; i < n_starting; i++)
	{
		Event *event;

		if (starting[i] == NULL)
			continue;
		event = dispatch_loaded(starting[i]);
		if (event)
		{
			start_delivery(i, event);
			pfree(event);
		}
		else
		{
			loading_index[n_loading] = i;
			loading[n_loading++] = starting[i];
		}
	}
}

/* Adds what their lanes will send next: one statement for many is much cheaper. */
static void
look_ahead(void)
{
	int needed = n_loading;

	n_loading +=
		dispatch_following(loading, needed, loading + needed, EVENT_BATCH - needed);
	for (int i = needed; i < n_loading; i++)
		loading_index[i] = -1;
}

/* queue_events() callback: sends the event's delivery, or keeps it for later. */
static void
take_event(int index, const Event *event, void *unused)
{
	if (loading_index[index] >= 0)
		start_delivery(loading_index[index], event);
	else
		dispatch_load(loading[index], event);
}

/* Loads the events of what is being started, and sends them. */
static void
start_deliveries(void)
{
	EventKey keys[EVENT_BATCH];

	queue_begin("sending");
	for (int i = 0; i < n_starting; i++)
		if (starting[i])
			merge_waiting(starting[i]);
	start_loaded();
	if (n_loading > 0)
	{
		look_ahead();
		for (int i = 0; i < n_loading; i++)
			keys[i] = dispatch_event(loading[i]);
		queue_events(keys, n_loading, take_event, NULL);
	}
	queue_commit();
}

/* Settles one of those being started as failed. */
static void
fail_starting(int index, const char *error)
{
	Settlement *settlement = new_settlement();

	dispatch_unsendable(starting[index], MemoryContextStrdup(settlement_context, error),
						GetCurrentTimestamp(), settlement);
	add_unsettled(settlement);
	starting[index] = NULL;
}

/* In PG_CATCH: the one that could not be rendered fails, and nothing else does. */
static void
rendering_failed(void)
{
	ErrorData *error;

	MemoryContextSwitchTo(cycle_context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(cycle_context);
	fail_starting(rendering, error->message);
	rendering = -1;
}

/* Starts what is in starting; false if the database could not be read. */
static bool
start_all(void)
{
	volatile bool again = true;
	volatile bool failed = false;

	while (again && !failed)
	{
		again = false;
		PG_TRY();
		{
			start_deliveries();
		}
		PG_CATCH();
		{
			if (rendering >= 0)
			{
				rendering_failed();
				again = true;
			}
			else
			{
				recover_from_error();
				failed = true;
			}
		}
		PG_END_TRY();
		MemoryContextSwitchTo(cycle_context);
	}
	for (int i = 0; i < n_starting; i++)
	{
		if (starting[i] == NULL)
			continue;
		if (failed)
		{
			dispatch_put_back(starting[i]);
			starting[i] = NULL;
		}
		else
			fail_starting(i, "the event is no longer kept");
	}
	n_starting = 0;
	return !failed;
}

/* Starts requests; true if there may be more to start. */
static bool
send_some(TimestampTz now)
{
	Delivery *delivery;

	n_starting = 0;
	if (n_unsettled >= MAX_UNSETTLED)
		return false;
	while (n_starting < START_BATCH && (delivery = dispatch_next(now)) != NULL)
		starting[n_starting++] = delivery;
	if (n_starting == 0)
		return false;
	return start_all();
}

/* ------------------------------------------------------------------------
 * The loop
 * ------------------------------------------------------------------------ */

static void
make_http_client(void)
{
	http = http_create();
	wait_events = compat_create_wait_event_set(3);
	AddWaitEventToSet(wait_events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_events, WL_SOCKET_READABLE, http_descriptor(http), NULL, NULL);
}

/* Begins with nothing in memory. */
static void
start_over(void)
{
	n_unsettled = n_starting = 0;
	rendering = -1;
	judging = NULL;
	settle_failures = 0;
	MemoryContextReset(settlement_context);
	dispatch_reset();
	make_http_client();
	must_start_over = must_configure = true;
}

/* Aborts what is under way. */
static void
stop_everything(void)
{
	if (wait_events)
		FreeWaitEventSet(wait_events);
	wait_events = NULL;
	if (http)
		http_destroy(http);
	http = NULL;
}

/* What other processes want. */
static void
take_signals(void)
{
	uint32 signals = slots_take_signals();

	if (signals & SIGNAL_STOP)
	{
		/* what is known now need not be sent again */
		take_results();
		if (n_unsettled > 0)
			(void) settle();
		leave(OUTCOME_STOPPED);
	}
	if (signals & SIGNAL_RELOAD)
		must_configure = true;
	if (signals & SIGNAL_WAKE)
		must_read = anything_new = true;
}

/* True if what is new is not read yet; whatever the clock does, not for long. */
static bool
napping(TimestampTz now)
{
	return !setting_delivery ||
		   (now < nap_until && nap_until - now <= NAP_MS * INT64CONST(1000));
}

/* Takes in what is new and what lanes need; false after an error. */
static bool
read_tables(TimestampTz now)
{
	if (must_configure && !step(read_integrations))
		return false;
	if (must_start_over && !step(read_pending))
		return false;
	if (must_read && !napping(now) && !step(read_new))
		return false;
	return step(read_lanes);
}

/* Records what has come of it all; false after an error. */
static bool
write_tables(TimestampTz now)
{
	/* health first: who sees a delivery settled sees what it did to the status */
	if (settlement_due(now) && (!step(save_health) || !settle()))
		return false;
	if (!step(deactivate) || !step(save_health) || !step(cancel))
		return false;
	rotate_if_due(now);
	return true;
}

/*
 * All that needs the database.  Sending comes first, so that the endpoints work
 * while results are recorded.  False if it has to wait after an error; *again is
 * set if there is more to do at once.
 */
static bool
work_on_tables(TimestampTz now, bool *again)
{
	if (now < not_before || !read_tables(now))
		return false;
	if (send_some(now))
		*again = true;
	if (now < not_before)
		return false;
	http_work(http);
	if (!write_tables(now))
		return false;
	slots_report_ready();
	pause_ms = 0;
	return true;
}

/* Whether there is more to do than waiting. */
static bool
more_to_do(void)
{
	pg_uuid_t	id;
	int64		after;
	int			limit;
	const char *reason;

	return dispatch_next_hungry(&id, &after, &limit) != NULL ||
		   dispatch_next_closing(&id, &reason) != NULL;
}

/* The earlier of two times, 0 meaning never. */
static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	return a == 0 ? b : b == 0 ? a : Min(a, b);
}

/* Milliseconds to wait at most; -1: for ever. */
static long
time_to_wait(bool again, bool paused)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz until = 0;
	long		network = http_timeout(http);
	long		wait;

	if (paused)
		until = not_before;
	else if (again)
		return 0;
	else
	{
		until = earlier(until, dispatch_due());
		if (setting_delivery && napping(now))
			until = earlier(until, nap_until);
		if (worker_number == 0)
			until = earlier(until, rotate_at);
		if (n_unsettled > 0)
			until =
				earlier(until, TimestampTzPlusMilliseconds(unsettled_since, SETTLE_MS));
	}
	if (until == 0)
		return network;
	wait = until <= now ? 0 : (until - now + 999) / 1000;
	return network < 0 ? wait : Min(wait, network);
}

/* What pg_stat_activity and stat_worker show while waiting. */
static void
report_waiting(bool idle)
{
	char activity[64];
	int	 requests = dispatch_in_flight();

	if (!setting_delivery)
		strlcpy(activity, "delivery is off", sizeof(activity));
	else if (requests > 0)
		snprintf(activity, sizeof(activity), "%d requests in flight", requests);
	else
		strlcpy(activity, "waiting for events", sizeof(activity));
	pgstat_report_activity(STATE_IDLE, activity);
	stats_report_state(requests > 0 ? "delivering" : "idle", requests,
						http_connections(http));
	if (idle)
		pgstat_report_stat(true);
}

/* Waits for signals, the network and time. */
static void
wait_for_something(long timeout)
{
	WaitEvent events[3];
	int		  n;

	/* whatever the endpoints do, they hold up neither vacuum nor anybody's lock */
	Assert(!IsTransactionState());
	if (napping(GetCurrentTimestamp()))
		(void) slots_nap(true);
	else if (slots_nap(false))
		timeout = 0;
	report_waiting(timeout < 0);
	n = WaitEventSetWait(wait_events, timeout, events, lengthof(events),
						 PG_WAIT_EXTENSION);
	for (int i = 0; i < n; i++)
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		http_reconfigure(http);
		dispatch_configure();
		stats_report_config_loaded();
		rotate_at = 0;
		anything_new = true;
	}
}

/* One turn of the loop. */
static void
cycle(void)
{
	TimestampTz now;
	bool		again = false;
	bool		paused;

	MemoryContextSwitchTo(cycle_context);
	MemoryContextReset(cycle_context);
	take_signals();
	http_work(http);
	take_results();

	now = GetCurrentTimestamp();
	dispatch_advance(now);
	paused = !work_on_tables(now, &again);
	wait_for_something(time_to_wait(again || more_to_do(), paused));
}

/* Starts from the tables and turns until an error that no step has caught. */
static void
run(void)
{
	PG_TRY();
	{
		start_over();
		for (;;)
			cycle();
	}
	PG_CATCH();
	{
		recover_from_error();
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

/* Entry point of a worker process; its argument is the key of its slot. */
void
featul_integrations_worker_main(Datum key)
{
	Oid database;

	if (!slots_attach_worker(DatumGetUInt64(key), &database, &worker_number))
		proc_exit(0);
	stats_attach_worker(database, worker_number);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	allow_descriptors();
	cycle_context = AllocSetContextCreate(TopMemoryContext, "featul_integrations cycle",
										  ALLOCSET_DEFAULT_SIZES);
	settlement_context = AllocSetContextCreate(
		TopMemoryContext, "featul_integrations results", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(cycle_context);
	if (!own_role_adopt() || !extension_present())
		leave(OUTCOME_NO_EXTENSION);
	queue_init();
	for (;;)
	{
		run();
		/* an error that no step expected: the tables know better than we do */
		MemoryContextSwitchTo(cycle_context);
		stop_everything();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 pause_ms, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
