/*
 * apply_status.c
 *		How the subscriptions of a delivery node fare.
 *
 * PostgreSQL tells of an apply worker that fails in the server log alone, and
 * nowhere how old a change was when it was applied.  So each worker that
 * applies changes of a subscription (or copies a table for one) notes its errors here
 * as they are reported, and at each commit the time that lies between it and the
 * publisher's.  View stat_subscription shows both.
 *
 * A spinlock protects all of it: errors are reported while other locks may be
 * held, and what is done under it is a few copies.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_subscription.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "replication/worker_internal.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/settings.h"
#include "process/apply_status.h"
#include "process/wakeup.h"

/* Subscriptions of the cluster that are watched: those heard of last. */
#define MAX_SUBSCRIPTIONS 128

#define MAX_MESSAGE_LENGTH 512

typedef struct ApplyStatus
{
	Oid			database; /* InvalidOid: the entry is free */
	Oid			subscription;
	TimestampTz applied_at; /* the last change, here */
	bool		captures;	/* under what it was applied with */
	int64		lag; /* microseconds between its commits there and here, by two clocks */
	TimestampTz failed_at; /* the last error of one that applies, and ends with it */
	TimestampTz error_at;  /* the last of those or of one that copies a table */
	char		error[MAX_MESSAGE_LENGTH];
	TimestampTz lack_at; /* the last error that says which columns are missing here */
	char		lack[MAX_MESSAGE_LENGTH];
} ApplyStatus;

typedef struct ApplyShared
{
	slock_t		mutex;
	ApplyStatus status[MAX_SUBSCRIPTIONS];
} ApplyShared;

static ApplyShared *apply_shared = NULL;

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;
static emit_log_hook_type	   previous_emit_log = NULL;

FEATUL_FUNCTION(featul_apply_status);

/*
 * The entry of this worker's subscription, made if need be in place of the one that nothing was
 * heard of for longest: its subscription may be gone.  The caller holds the spinlock.
 */
static ApplyStatus *
my_status(void)
{
	ApplyStatus *oldest = &apply_shared->status[0];

	for (int i = 0; i < MAX_SUBSCRIPTIONS; i++)
	{
		ApplyStatus *status = &apply_shared->status[i];

		if (status->database == MyLogicalRepWorker->dbid &&
			status->subscription == MyLogicalRepWorker->subid)
			return status;
		if (Max(status->applied_at, status->error_at) <
			Max(oldest->applied_at, oldest->error_at))
			oldest = status;
	}
	memset(oldest, 0, sizeof(ApplyStatus));
	oldest->database = MyLogicalRepWorker->dbid;
	oldest->subscription = MyLogicalRepWorker->subid;
	return oldest;
}

/* ------------------------------------------------------------------------
 * In the workers of subscriptions
 * ------------------------------------------------------------------------ */

/*
 * Whether this transaction commits one that was prepared (two_phase), of which it knows nothing:
 * it writes nothing itself.
 */
static bool
commits_prepared(void)
{
	return MySubscription->twophasestate != LOGICALREP_TWOPHASE_STATE_DISABLED &&
		   !TransactionIdIsValid(GetTopTransactionIdIfAny());
}

/* Transaction callback: notes how old a change of the publisher was. */
static void
at_commit(XactEvent event, void *argument)
{
	static XLogRecPtr noted = InvalidXLogRecPtr;
	ApplyStatus		 *status;
	TimestampTz		  now;

	if (event != XACT_EVENT_COMMIT || MyLogicalRepWorker == NULL ||
		am_tablesync_worker() || compat_origin_lsn() == noted)
		return;
	noted = compat_origin_lsn(); /* which only a change moves on */
	now = GetCurrentTimestamp();
	SpinLockAcquire(&apply_shared->mutex);
	status = my_status();
	status->applied_at = now;
	status->captures = setting_capture;
	status->failed_at = 0; /* whatever the clock says meanwhile */
	status->lag = now - compat_origin_timestamp();
	SpinLockRelease(&apply_shared->mutex);
	if (commits_prepared())
		wakeup_workers_now();
}

/* True for the error that a column of the publisher's is not there (relation.c). */
static bool
says_columns_are_missing(const ErrorData *error)
{
	return error->message_id &&
		   strstr(error->message_id, "is missing replicated column") != NULL;
}

/*
 * True for what the leader of parallel apply (16 on) says when one of its workers has
 * noted its own error (applyparallelworker.c).
 */
static bool
says_another_worker_failed(const ErrorData *error)
{
	return error->message_id &&
		   strcmp(error->message_id,
				  "logical replication parallel apply worker exited due to error") == 0;
}

/* emit_log_hook: notes an error that ends a worker. */
static void
emit_log(ErrorData *error)
{
	ApplyStatus *status;
	TimestampTz	 now;
	int			 length;

	if (previous_emit_log)
		previous_emit_log(error);
	if (error->elevel < ERROR || MyLogicalRepWorker == NULL || error->message == NULL ||
		says_another_worker_failed(error))
		return;
	now = GetCurrentTimestamp();
	length = pg_mbcliplen(error->message, strlen(error->message), MAX_MESSAGE_LENGTH - 1);
	SpinLockAcquire(&apply_shared->mutex);
	status = my_status();
	status->error_at = now;
	if (!am_tablesync_worker())
		status->failed_at = now;
	memcpy(status->error, error->message, length);
	status->error[length] = '\0';
	if (says_columns_are_missing(error))
	{
		status->lack_at = now;
		strcpy(status->lack, status->error);
	}
	SpinLockRelease(&apply_shared->mutex);
}

/* ------------------------------------------------------------------------
 * Set-up
 * ------------------------------------------------------------------------ */

static void
request_shared_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(sizeof(ApplyShared));
}

static void
start_shared_memory(void)
{
	bool found;

	if (previous_shmem_startup)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	apply_shared =
		ShmemInitStruct("featul_integrations apply status", sizeof(ApplyShared), &found);
	if (!found)
	{
		memset(apply_shared, 0, sizeof(ApplyShared));
		SpinLockInit(&apply_shared->mutex);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* See apply_status.h. */
void
apply_status_init(void)
{
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
	previous_emit_log = emit_log_hook;
	emit_log_hook = emit_log;
	RegisterXactCallback(at_commit, NULL); /* every process inherits it */
}

/* ------------------------------------------------------------------------
 * For view stat_subscription
 * ------------------------------------------------------------------------ */

/* The columns of one entry, as apply_status() returns them. */
static void
put_status(ReturnSetInfo *result, const ApplyStatus *status)
{
	/* what has been applied since was no more in the way */
	bool  lacks = status->lack_at > status->applied_at;
	Datum values[8];
	bool  nulls[8] = { false };

	values[0] = ObjectIdGetDatum(status->subscription);
	values[1] = TimestampTzGetDatum(status->applied_at);
	values[2] = Float8GetDatum(status->lag / (double) USECS_PER_SEC);
	nulls[1] = nulls[2] = nulls[7] = status->applied_at == 0;
	values[3] = CStringGetTextDatum(status->error);
	values[4] = TimestampTzGetDatum(status->error_at);
	nulls[3] = nulls[4] = status->error_at == 0;
	values[5] = CStringGetTextDatum(status->lack);
	nulls[5] = !lacks;
	values[6] = TimestampTzGetDatum(status->failed_at);
	nulls[6] = status->failed_at == 0;
	values[7] = BoolGetDatum(status->captures);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* featul_integrations.apply_status(): the subscriptions of this database. */
Datum
featul_apply_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ApplyStatus	  *copy;

	InitMaterializedSRF(fcinfo, 0);
	if (apply_shared == NULL)
		return (Datum) 0;
	copy = palloc(sizeof(apply_shared->status));
	SpinLockAcquire(&apply_shared->mutex);
	memcpy(copy, apply_shared->status, sizeof(apply_shared->status));
	SpinLockRelease(&apply_shared->mutex);
	for (int i = 0; i < MAX_SUBSCRIPTIONS; i++)
		if (copy[i].database == MyDatabaseId)
			put_status(result, &copy[i]);
	return (Datum) 0;
}
