/*
 * listener.c
 *		Telling those who listen that the log has something new.
 *
 * A session listens by LISTEN featul_integrations_deliveries, and says that it does
 * by holding an advisory lock (docs/application.md).  So where nobody listens a
 * batch of results costs a look at that lock, and no entry in PostgreSQL's queue of
 * notifications.  A notification names the workspace and no more: who may see what
 * is new is judged when it is read.
 *
 * Not part of the transaction that records results: a queue that is full, on account
 * of somebody who listens and never reads, must not keep results from being recorded.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/memutils.h"

#include "delivery/listener.h"
#include "delivery/table_attempt.h"

#define CHANNEL "featul_integrations_deliveries"

/* pg_advisory_lock_shared(112585612752236): "featul" in ASCII. */
#define LOCK_KEY INT64CONST(0x66656174756c)

/* An id beyond this is announced to nobody; a payload may have 8,000 bytes (NOTIFY). */
#define MAX_ID_BYTES 1000

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
void
listener_tell(List *settlements)
{
	MemoryContext old_context = CurrentMemoryContext;

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
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old_context);
}
