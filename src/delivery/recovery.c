/*
 * recovery.c
 *		Errors in the worker: a step that fails is tried again, with growing pauses.
 *
 * Each step that needs the database is a transaction of its own and changes the
 * state in memory only once it has committed.  An error after that leaves half a
 * state, which nobody can go on with: the worker starts over, from the tables.
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/errors.h"
#include "delivery/recovery.h"
#include "delivery/table_health.h"
#include "process/stats.h"

/* Pauses after an error (ms). */
#define MIN_PAUSE 100
#define MAX_PAUSE 30000

/* A failure that repeats is logged once in so long (ms). */
#define LOG_PERIOD 60000

/* See recovery.h. */
void
recovery_leave(WorkerOutcome outcome)
{
	slots_report_outcome(outcome);
	proc_exit(0);
}

/* See recovery.h. */
void
recovery_check_extension(const Recovery *recovery)
{
	volatile bool is_there = true;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		is_there = health_has_extension();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(recovery->context);
	if (!is_there)
		recovery_leave(OUTCOME_NO_EXTENSION);
}

/* See recovery.h. */
ErrorData *
recovery_take_error(MemoryContext context)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	return error;
}

/* See recovery.h. */
void
recovery_after_error(Recovery *recovery)
{
	Moment	   now = clock_now();
	ErrorData *error = recovery_take_error(recovery->context);

	/* an error of statements whose tables have just been dropped is none */
	recovery_check_extension(recovery);

	stats_report_error(error->message);
	recovery->about_data =
		error_is_fault_of_data(error) ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTERNAL_ERROR;
	if (error->sqlerrcode != recovery->logged_code ||
		now > clock_after_ms(recovery->logged_at, LOG_PERIOD))
	{
		ereport(
			WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("featul_integrations worker: %s", error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->context ? errcontext("%s", error->context) : 0,
			 errhint(
				 "%s%sThe worker tries again by itself; the same failure is not logged again within a minute.",
				 error->hint ? error->hint : "", error->hint ? " " : "")));
		recovery->logged_code = error->sqlerrcode;
		recovery->logged_at = now;
	}
	recovery->pause_ms = Min(MAX_PAUSE, Max(MIN_PAUSE, 2 * recovery->pause_ms));
	recovery->not_before = clock_after_ms(now, recovery->pause_ms);
}

/* See recovery.h. */
bool
recovery_run(Recovery *recovery, void (*step)(void *), void *argument)
{
	volatile bool succeeded = false;

	PG_TRY();
	{
		step(argument);
		succeeded = true;
	}
	PG_CATCH();
	{
		if (!IsTransactionState())
			PG_RE_THROW();
		recovery_after_error(recovery);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(recovery->context);
	return succeeded;
}
