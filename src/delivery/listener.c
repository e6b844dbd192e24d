/*
 * listener.c
 *		Telling those who listen: that the log has something new, that an integration's
 *		status has changed.
 *
 * A session listens by LISTEN featul_integrations_deliveries, and says that it does
 * by holding an advisory lock (docs/application.md).  So where nobody listens a
 * batch of results costs a look at that lock, and no entry in PostgreSQL's queue of
 * notifications.  A notification names the workspace and no more: who may see what
 * is new is judged when it is read.
 *
 * Not part of the transaction that records results: a queue that is full, on account
 * of somebody who listens and never reads, must not keep results from being recorded.
 *
 * A change of status is rare, and told once: with the very transaction that records it
 * (docs/operators.md has the contract).  Where the queue is nearly full, or did not take
 * the latest (settler.c), the log's line has to do.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "delivery/listener.h"
#include "delivery/table_attempt.h"

#define CHANNEL "featul_integrations_deliveries"
#define STATUS_CHANNEL "featul_integrations"

/* pg_advisory_lock_shared(112585612752236): "featul" in ASCII. */
#define LOCK_KEY INT64CONST(0x66656174756c)

/*
 * An id beyond this is announced to nobody, a reason cut: a payload may have just under
 * 8,000 bytes (NOTIFY), and JSON can take six of them for one.
 */
#define MAX_ID_BYTES 1000
#define MAX_REASON_BYTES 250

/* The part of PostgreSQL's queue of notifications that we leave to others once it is full. */
#define MAX_QUEUE_USAGE 0.9

/* True if somebody holds the lock of those who listen. */
static bool
somebody_listens(void)
{
	LOCKTAG tag;

	/* as pg_advisory_lock(bigint) does, see lockfuncs.c */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (LOCK_KEY >> 32), (uint32) LOCK_KEY,
						 1);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ExclusiveLock, false);
	return false;
}

/* See listener.h. */
bool
listener_tell(List *settlements)
{
	MemoryContext old_context = CurrentMemoryContext;
	volatile bool told = true;

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		if (somebody_listens())
		{
			ListCell *cell;

			foreach (cell, settlements)
			{
				const char *workspace_id = ((Settlement *) lfirst(cell))->workspace_id;

				/* the same again within a transaction is told once */
				if (workspace_id && strlen(workspace_id) <= MAX_ID_BYTES)
					Async_Notify(CHANNEL, workspace_id);
			}
		}
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		/* the server itself warns of a queue that fills up */
		FlushErrorState();
		AbortCurrentTransaction();
		told = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old_context);
	return told;
}

/* Appends a member with a text, null where there is none. */
static void
append_member(StringInfo json, const char *name, const char *text)
{
	appendStringInfo(json, ", \"%s\": ", name);
	if (text)
		escape_json(json, text);
	else
		appendStringInfoString(json, "null");
}

/* The integration's id as text (palloc'd). */
static char *
id_text(const StatusChange *change)
{
	return DatumGetCString(
		DirectFunctionCall1(uuid_out, UUIDPGetDatum(&change->integration_id)));
}

/* See listener.h. */
void
listener_tell_status(const StatusChange *change)
{
	bool id_fits = change->workspace_id && strlen(change->workspace_id) <= MAX_ID_BYTES;
	StringInfoData json;
	char		  *reason = change->reason ? pstrdup(change->reason) : NULL;

	if (DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0)) >
		MAX_QUEUE_USAGE)
		return;
	if (reason)
		reason[pg_mbcliplen(reason, strlen(reason), MAX_REASON_BYTES)] = '\0';
	initStringInfo(&json);
	appendStringInfo(&json, "{\"integration_id\": \"%s\"", id_text(change));
	append_member(&json, "workspace_id", id_fits ? change->workspace_id : NULL);
	append_member(&json, "type", change->type);
	append_member(&json, "status", change->status);
	append_member(&json, "reason", reason);
	appendStringInfoChar(&json, '}');
	Async_Notify(STATUS_CHANNEL, json.data);
}

/* See listener.h. */
void
listener_log_status(const StatusChange *change)
{
	ereport(LOG, (errmsg("featul_integrations worker: the %s integration of workspace "
						 "\"%s\" (%s) is %s%s%s",
						 change->type ? change->type : "?",
						 change->workspace_id ? change->workspace_id : "?",
						 id_text(change), change->status, change->reason ? ": " : "",
						 change->reason ? change->reason : "")));
}
