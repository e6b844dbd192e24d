/*
 * wakeup.c
 *		What a transaction tells the workers and the launcher when it commits.
 *
 * Capture and the interface note that there is something; one callback,
 * registered once per process, passes it on.  Nothing is told if the
 * transaction aborts.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "base/compat.h"
#include "process/slots.h"
#include "process/wakeup.h"

/* The column of featul_integrations.integration, as the install script creates it. */
#define INTEGRATION_ID 1

/* What this transaction has to tell when it commits. */
typedef struct AtCommit
{
	uint32 signals; /* to the workers of this database */
	bool   launcher;

	/* integrations that changed; -1: more than are kept */
	int		  n_changed;
	pg_uuid_t changed[SLOTS_MAX_CHANGED];
} AtCommit;

static AtCommit at_commit = { 0 };

FEATUL_FUNCTION(featul_integration_changed);
FEATUL_FUNCTION(featul_queue_inserted);

/*
 * Transaction callback.  At PREPARE a worker learns nothing new yet, but COMMIT
 * PREPARED may come from a session that does not know what it commits.
 */
static void
signal_at_commit(XactEvent event, void *argument)
{
	bool committed = event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE;

	if (!committed && event != XACT_EVENT_ABORT)
		return;
	if (committed && at_commit.launcher)
		slots_tell_launcher(MyDatabaseId);
	if (committed && at_commit.n_changed > 0)
		slots_tell_changed(MyDatabaseId, at_commit.changed, at_commit.n_changed);
	if (committed && at_commit.n_changed < 0)
		slots_signal_workers(MyDatabaseId, SIGNAL_RELOAD);
	if (committed && at_commit.signals != 0)
		slots_signal_workers(MyDatabaseId, at_commit.signals);
	at_commit.signals = 0;
	at_commit.launcher = false;
	at_commit.n_changed = 0;
}

/* What this transaction tells so far, to be added to. */
static AtCommit *
tell_at_commit(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(signal_at_commit, NULL);
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
	tell_at_commit()->n_changed = -1;
}

/* See wakeup.h. */
void
wakeup_integration_at_commit(const pg_uuid_t *id)
{
	AtCommit *tell = tell_at_commit();

	if (tell->n_changed < 0)
		return;
	for (int i = 0; i < tell->n_changed; i++)
		if (memcmp(&tell->changed[i], id, sizeof(*id)) == 0)
			return;
	if (tell->n_changed < SLOTS_MAX_CHANGED)
		tell->changed[tell->n_changed++] = *id;
	else
		tell->n_changed = -1;
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

/* Notes the integration that a row of a trigger's table is about. */
static void
note_row(Relation relation, HeapTuple row)
{
	bool  null;
	Datum id = row ? heap_getattr(row, INTEGRATION_ID, RelationGetDescr(relation), &null)
				   : (Datum) 0;

	if (row && !null)
		wakeup_integration_at_commit(DatumGetUUIDP(id));
}

/*
 * Trigger on featul_integrations.integration, for each row and for TRUNCATE: sessions
 * drop what they know of integrations (by invalidation), workers read what
 * changed again.
 */
Datum
featul_integration_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	require_trigger(fcinfo, "integration_changed");
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigger->tg_relation));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		wakeup_reload_at_commit();
	else
	{
		note_row(trigger->tg_relation, trigger->tg_trigtuple);
		note_row(trigger->tg_relation, trigger->tg_newtuple);
	}
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
