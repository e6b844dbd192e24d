/*
 * wakeup.c
 *		What a transaction tells the workers and the launcher when it commits.
 *
 * Capture and the interface note that there is something; one callback,
 * registered once per process, passes it on.  Nothing is told if the
 * transaction aborts.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "process/slots.h"
#include "process/wakeup.h"

/* What this transaction has to tell when it commits. */
typedef struct AtCommit
{
	uint32 signals; /* to the workers of this database */
	bool   launcher;
} AtCommit;

static AtCommit at_commit = { 0 };

FEATUL_FUNCTION(featul_integration_changed);
FEATUL_FUNCTION(featul_queue_inserted);

/*
 * Transaction callback.  At PREPARE a worker learns nothing new yet, but COMMIT
 * PREPARED may come from a session that does not know what it commits.
 */
static void
at_transaction_end(XactEvent event, void *argument)
{
	bool committed = event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE;

	if (!committed && event != XACT_EVENT_ABORT)
		return;
	if (committed && at_commit.launcher)
		slots_tell_launcher(MyDatabaseId);
	if (committed && at_commit.signals != 0)
		slots_signal_workers(MyDatabaseId, at_commit.signals);
	memset(&at_commit, 0, sizeof(at_commit));
}

/* What this transaction tells so far, to be added to. */
static AtCommit *
tell_at_commit(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
	return &at_commit;
}

/* See wakeup.h. */
void
wakeup_workers_at_commit(void)
{
	tell_at_commit()->signals |= SIGNAL_WAKE;
}

/* See wakeup.h. */
void
wakeup_reload_at_commit(void)
{
	tell_at_commit()->signals |= SIGNAL_RELOAD | SIGNAL_WAKE;
}

/* See wakeup.h. */
void
wakeup_launcher_at_commit(void)
{
	tell_at_commit()->launcher = true;
}

/* See wakeup.h. */
void
wakeup_workers_now(void)
{
	slots_signal_workers(MyDatabaseId, SIGNAL_RELOAD | SIGNAL_WAKE);
}

/* Refuses to be called but as a trigger. */
static void
require_trigger(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger", name)));
}

/*
 * Trigger on featul_integrations.integration: sessions drop what they know of
 * integrations (by invalidation), workers read them again.
 */
Datum
featul_integration_changed(PG_FUNCTION_ARGS)
{
	require_trigger(fcinfo, "integration_changed");
	CacheInvalidateRelcacheByRelid(
		RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	wakeup_reload_at_commit();
	return PointerGetDatum(NULL);
}

/*
 * Trigger on featul_integrations.queue, for what an INSERT puts there (a redelivery,
 * a DBA); capture writes past it.
 */
Datum
featul_queue_inserted(PG_FUNCTION_ARGS)
{
	require_trigger(fcinfo, "queue_inserted");
	wakeup_workers_at_commit();
	return PointerGetDatum(NULL);
}
