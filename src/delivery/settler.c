/*
 * settler.c
 *		Results: judged, kept, and recorded in batches; health; the end of
 *		integrations.
 *
 * What an answer means is not decided here but by the channel (its verdict) and by
 * outcome.c (its consequences).  Results that could not be recorded are kept, and
 * nothing new is started once there are too many of them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/fault.h"
#include "delivery/lane_health.h"
#include "delivery/lane_roster.h"
#include "delivery/listener.h"
#include "delivery/outcome.h"
#include "delivery/settler.h"
#include "delivery/statement.h"
#include "network/http.h"
#include "process/channel_hold.h"

/* Results are recorded when there are so many, or when the oldest is so old (ms). */
#define SETTLE_BATCH 512
#define SETTLE_MS 40

/*
 * Results of one transaction, and of one turn: many messages for 500 deliveries each may end
 * at once, and nobody else is to wait for all of them.
 */
#define RECORD_BATCH 1024

/*
 * Requests whose results are not recorded yet beyond which nothing new is started; likewise
 * results that are in memory, recorded or not: it is freed when none is left to be recorded.
 */
#define MAX_UNSETTLED 2048
#define MAX_IN_MEMORY 65536

/* Failures in a row after which results are recorded one by one. */
#define PATIENCE 2

/* After a failure to record a status nobody is notified of one for so long (ms). */
#define QUIET_MS 10000

#define CANCEL_BATCH 1000
#define HEALTH_BATCH 500

/* Characters of a response that are kept (docs/receivers.md). */
#define RESPONSE_CHARACTERS 1000

typedef struct Settler
{
	MemoryContext context;		/* of what is unsettled and what it points to */
	List		 *unsettled;	/* of Settlement *, to be recorded, oldest first */
	int			  requests;		/* that they came of */
	int			  in_memory;	/* results, the recorded ones too */
	Moment		  since;		/* when the oldest came in */
	int			  failures;		/* of recording, in a row */
	bool		  health_fails; /* to be recorded, which comes before results */
	Moment		  quiet_until;	/* see record_telling() */
	bool		  notifies;
} Settler;

/* See settler.h. */
void
settler_init(Worker *worker)
{
	worker->settler = MemoryContextAllocZero(TopMemoryContext, sizeof(Settler));
	worker->settler->context = AllocSetContextCreate(
		TopMemoryContext, "featul_integrations results", ALLOCSET_DEFAULT_SIZES);
}

/* See settler.h. */
void
settler_reset(Worker *worker)
{
	worker->settler->unsettled = NIL;
	worker->settler->requests = worker->settler->in_memory = 0;
	worker->settler->failures = 0;
	worker->settler->health_fails = false;
	MemoryContextReset(worker->settler->context);
}

/* ------------------------------------------------------------------------
 * Judging
 * ------------------------------------------------------------------------ */

/* So many new settlements, to be filled in and recorded.  Their context is current. */
static Settlement **
new_settlements(Settler *settler, int count)
{
	Settlement **settlements = palloc(count * sizeof(Settlement *));

	Assert(CurrentMemoryContext == settler->context);
	if (settler->unsettled == NIL)
		settler->since = clock_now();
	for (int i = 0; i < count; i++)
		settlements[i] = palloc0(sizeof(Settlement));
	return settlements;
}

/* Those of one request, filled in, are to be recorded. */
static void
keep_settlements(Settler *settler, Settlement **settlements, int count)
{
	for (int i = 0; i < count; i++)
		settler->unsettled = lappend(settler->unsettled, settlements[i]);
	settlements[count - 1]->last = true;
	settler->requests++;
	settler->in_memory += count;
	pfree(settlements);
}

/* Draws the consequences of an attempt, which is in the settler's context. */
static void
take_attempt(Settler *settler, Delivery *delivery, const Attempt *attempt)
{
	int			 count = outcome_count(delivery);
	Settlement **settlements = new_settlements(settler, count);

	outcome_of_attempt(delivery, attempt, settlements);
	keep_settlements(settler, settlements, count);
}

/*
 * A response being judged: an error meanwhile is on its account.  One in taking over the
 * judgement is not: that leaves half a state, and the worker starts over.
 */
typedef struct Judgement
{
	Worker	   *worker;
	HttpResult *result; /* or NULL */
} Judgement;

/* Judges what has arrived.  A transaction, as texts may have to be converted. */
static void
judge_results(Judgement *judgement)
{
	Worker	*worker = judgement->worker;
	Settler *settler = worker->settler;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	while ((judgement->result = http_next_result(worker->http)) != NULL)
	{
		HttpResult	 *result = judgement->result;
		Delivery	 *delivery = result->tag;
		MemoryContext old_context = MemoryContextSwitchTo(settler->context);
		Attempt		  attempt = { .http_status = result->status,
								  .duration_ms = result->duration_ms };

		attempt.verdict = channel_judge(outcome_channel(delivery), result);
		if (result->body_length > 0)
			attempt.response = channel_response_excerpt(result, RESPONSE_CHARACTERS);
		judgement->result = NULL;
		fault("taking a result");
		take_attempt(settler, delivery, &attempt);
		http_release(worker->http, result);
		MemoryContextSwitchTo(old_context);
	}
	CommitTransactionCommand();
}

/* In PG_CATCH: a response that cannot even be judged is a failed attempt. */
static void
judging_failed(Judgement *judgement)
{
	Settler	   *settler = judgement->worker->settler;
	HttpResult *result = judgement->result;
	ErrorData  *error = recovery_take_error(settler->context);
	Attempt		attempt = { .verdict = { .kind = VERDICT_RETRY, .error = error->message },
							.http_status = result->status,
							.duration_ms = result->duration_ms };

	take_attempt(settler, result->tag, &attempt);
	http_release(judgement->worker->http, result);
}

/* See settler.h. */
void
settler_take_results(Worker *worker)
{
	if (http_has_result(worker->http))
		dispatch_set_time(worker->dispatch, clock_now(), GetCurrentTimestamp());
	while (http_has_result(worker->http))
	{
		Judgement judgement = { .worker = worker };

		PG_TRY();
		{
			judge_results(&judgement);
		}
		PG_CATCH();
		{
			if (judgement.result == NULL)
				PG_RE_THROW();
			judging_failed(&judgement);
		}
		PG_END_TRY();
		MemoryContextSwitchTo(worker->recovery.context);
	}
}

/* See settler.h. */
void
settler_share_holds(Worker *worker)
{
	const Channel *channel;

	for (int i = 0; (channel = channel_at(i)) != NULL; i++)
	{
		Moment own = dispatch_channel_hold(worker->dispatch, channel);
		Moment all = channel_hold_share(i, own, CHANNEL_MAX_HOLD_MS);

		if (all > own)
			dispatch_hold_channel(worker->dispatch, channel, all);
	}
}

/* See settler.h. */
void
settler_fail(Worker *worker, Delivery *delivery, const char *error)
{
	Settler		 *settler = worker->settler;
	MemoryContext old_context = MemoryContextSwitchTo(settler->context);
	Settlement	**settlements = new_settlements(settler, 1);

	outcome_unsendable(delivery, pstrdup(error), settlements[0]);
	keep_settlements(settler, settlements, 1);
	MemoryContextSwitchTo(old_context);
}

/* ------------------------------------------------------------------------
 * Recording
 * ------------------------------------------------------------------------ */

/* See settler.h. */
bool
settler_stuck(const Worker *worker)
{
	const Settler *settler = worker->settler;

	return settler->failures > 0 ||
		   (settler->health_fails && settler_health_due(worker) != 0) ||
		   settler->requests >= MAX_UNSETTLED || settler->in_memory >= MAX_IN_MEMORY;
}

/* True if integrations end whose pending rows are to be cancelled. */
static bool
lanes_close(const Worker *worker)
{
	ClosingLane closing;

	return roster_next_closing(worker->dispatch, &closing);
}

/* See settler.h. */
Moment
settler_results_due(const Worker *worker)
{
	const Settler *settler = worker->settler;

	if (settler->unsettled == NIL)
		return 0;
	/* what could be sent has been: with nothing in flight there is nothing to wait for */
	if (list_length(settler->unsettled) >= SETTLE_BATCH ||
		dispatch_in_flight(worker->dispatch) == 0 || lanes_close(worker))
		return MOMENT_PAST;
	return clock_after_ms(settler->since, SETTLE_MS);
}

/*
 * Step: records a list of results.  Flushed before anybody sees them: what was seen as
 * delivered is not sent again after a crash.  A standby is not waited for.
 */
static void
record_results(void *settlements)
{
	table_begin("recording results");
	table_flush_at_commit();
	attempt_record(settlements);
	table_commit();
}

/* Notifying has failed: does without for a while. */
static void
be_quiet(Settler *settler)
{
	settler->quiet_until = clock_after_ms(clock_now(), QUIET_MS);
}

/* Records a list of results, and tells those who listen. */
static bool
record_and_tell(Worker *worker, List *settlements)
{
	if (!recovery_run(&worker->recovery, record_results, settlements))
		return false;
	if (clock_now() >= worker->settler->quiet_until && !listener_tell(settlements))
		be_quiet(worker->settler);
	return true;
}

/* Forgets the first results, which have been recorded or given up. */
static void
drop_results(Settler *settler, int count)
{
	Assert(0 < count && count <= list_length(settler->unsettled));
	for (int i = 0; i < count; i++)
	{
		Settlement *settlement = list_nth(settler->unsettled, i);

		settler->requests -= settlement->last;
		outcome_settled(settlement);
	}
	settler->unsettled = list_delete_first_n(settler->unsettled, count);
	if (settler->unsettled != NIL)
		return;
	Assert(settler->requests == 0);
	settler->in_memory = 0;
	MemoryContextReset(settler->context);
}

/* Records the oldest results; false after an error. */
static bool
record_batch(Worker *worker)
{
	Settler *settler = worker->settler;
	List	*batch = list_truncate(list_copy(settler->unsettled), RECORD_BATCH);

	if (!record_and_tell(worker, batch))
		return false;
	drop_results(settler, list_length(batch));
	list_free(batch);
	return true;
}

/* Records one result, if need be without its response. */
static bool
record_one(Worker *worker, Settlement *settlement)
{
	List *one = list_make1(settlement);

	if (record_and_tell(worker, one))
		return true;
	if (settlement->response == NULL || !worker->recovery.about_data)
		return false;
	settlement->response = NULL;
	return record_and_tell(worker, one);
}

/*
 * Records results one by one, after they could not be recorded together; false after an
 * error.  One that fails for its own sake, where another one has succeeded, is set aside: it
 * stays in the queue, and this process does not touch it again.
 */
static bool
record_one_by_one(Worker *worker)
{
	Settler *settler = worker->settler;
	bool	 succeeded = false;

	while (settler->unsettled != NIL)
	{
		Settlement *settlement = linitial(settler->unsettled);

		if (record_one(worker, settlement))
			succeeded = true;
		else if (succeeded && worker->recovery.about_data)
			ereport(
				WARNING,
				(errmsg("featul_integrations worker: the result of delivery " INT64_FORMAT
						" could not be recorded and is set aside",
						settlement->id)));
		else
		{
			/* try another first next time */
			settler->unsettled = lappend(settler->unsettled, settlement);
			settler->unsettled = list_delete_first(settler->unsettled);
			return false;
		}
		drop_results(settler, 1);
	}
	return true;
}

/* See settler.h. */
bool
settler_record(Worker *worker)
{
	Settler *settler = worker->settler;
	bool	 succeeds =
		settler->failures >= PATIENCE ? record_one_by_one(worker) : record_batch(worker);

	settler->failures = succeeds ? 0 : settler->failures + 1;
	return succeeds;
}

/* ------------------------------------------------------------------------
 * Health and the end of integrations
 * ------------------------------------------------------------------------ */

/*
 * A step that records changes of status, and notifies of them.  A session whose NOTIFY
 * does not end (it waits for a standby) holds up everybody's, but not our results: after
 * a failure from notifying on such steps do without for a while, and the log's line has
 * to do.
 */
static bool
record_telling(Worker *worker, void (*step)(void *))
{
	Settler *settler = worker->settler;

	settler->notifies = false;
	if (recovery_run(&worker->recovery, step, worker))
		return true;
	if (settler->notifies)
		be_quiet(settler);
	return false;
}

/* Whether such a step, which has recorded what it has, notifies now. */
static bool
begin_notifying(const Worker *worker)
{
	Settler *settler = worker->settler;

	settler->notifies = clock_now() >= settler->quiet_until;
	return settler->notifies;
}

/* That an integration's breaker has opened or closed. */
static StatusChange
breaker_change(const HealthChange *change)
{
	return (StatusChange){
		.integration_id = change->integration_id,
		.workspace_id = change->workspace_id,
		.type = change->type,
		.status = change->failing ? "failing" : "active",
		.reason = change->failing ? psprintf("The last %d attempts failed%s%s.",
											 change->failures, change->error ? ": " : "",
											 change->error ? change->error : "")
								  : NULL,
	};
}

/* Tells of those among the changes that have opened or closed a breaker. */
static void
tell_turned(const HealthChange *changes, int count,
			void (*tell)(const StatusChange *change))
{
	for (int i = 0; i < count; i++)
	{
		StatusChange turned;

		if (!changes[i].turned)
			continue;
		turned = breaker_change(&changes[i]);
		tell(&turned);
	}
}

/* Step: writes down how integrations fare. */
static void
save_health(void *argument)
{
	Worker		 *worker = argument;
	int			  count;
	HealthChange *changes = lane_health_due(worker->dispatch, HEALTH_BATCH, &count);

	if (count == 0)
		return;
	table_begin("recording health");
	health_save(changes, count);
	if (begin_notifying(worker))
		tell_turned(changes, count, listener_tell_status);
	table_commit();
	tell_turned(changes, count, listener_log_status);
	lane_health_saved(worker->dispatch, changes, count);
}

/* See settler.h. */
Moment
settler_health_due(const Worker *worker)
{
	Moment results;

	if (!lane_health_is_due(worker->dispatch))
		return 0;
	/* with the results that it comes of, if there are any: many at a time */
	results = settler_results_due(worker);
	return results != 0 ? results : MOMENT_PAST;
}

/* See settler.h. */
bool
settler_save_health(Worker *worker)
{
	Settler *settler = worker->settler;

	settler->health_fails = false;
	while (lane_health_is_due(worker->dispatch) && !settler->health_fails)
		settler->health_fails = !record_telling(worker, save_health);
	return !settler->health_fails;
}

/* Step: makes integrations inactive whose endpoint is gone. */
static void
deactivate_gone(void *argument)
{
	Worker	*worker = argument;
	GoneLane gone;

	while (lane_next_gone(worker->dispatch, &gone))
	{
		StatusChange change = { .integration_id = gone.integration_id,
								.workspace_id = gone.workspace_id,
								.type = gone.type,
								.status = "inactive",
								.reason = gone.reason };
		Deactivation result;

		table_begin("making an integration inactive");
		result = health_deactivate(&gone.integration_id, gone.updated_at, gone.reason);
		if (result == DEACTIVATION_DONE && begin_notifying(worker))
			listener_tell_status(&change);
		table_commit();
		if (result == DEACTIVATION_DONE)
			listener_log_status(&change);
		lane_deactivated(gone.lane, result);
	}
}

/* See settler.h. */
Moment
settler_gone_due(const Worker *worker)
{
	GoneLane gone;

	return lane_next_gone(worker->dispatch, &gone) ? MOMENT_PAST : 0;
}

/* See settler.h. */
bool
settler_deactivate(Worker *worker)
{
	return record_telling(worker, deactivate_gone);
}

/* Step: cancels a batch of the lane's deliveries. */
static void
cancel_batch(void *argument)
{
	const ClosingLane *closing = argument;
	int				   count;

	table_begin("cancelling deliveries");
	count = queue_cancel(&closing->integration_id, closing->reason, CANCEL_BATCH);
	if (count < CANCEL_BATCH)
		health_forget(&closing->integration_id);
	table_commit();
	roster_cancelled(closing->lane, count, CANCEL_BATCH);
}

/* See settler.h.  Not before all results are recorded, or they would be taken for pending. */
Moment
settler_closing_due(const Worker *worker)
{
	return worker->settler->unsettled == NIL && lanes_close(worker) ? MOMENT_PAST : 0;
}

/* See settler.h. */
bool
settler_cancel(Worker *worker)
{
	ClosingLane closing;

	worker->rows_came = true; /* in the log */
	return !roster_next_closing(worker->dispatch, &closing) ||
		   recovery_run(&worker->recovery, cancel_batch, &closing);
}
