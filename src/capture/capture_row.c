/*
 * capture_row.c
 *		The row trigger on the application's tables, for a delivery node: captures what
 *		the workers of a subscription write.
 *
 * They fire no statement triggers.  Each row is worked off at once, in the
 * transaction and subtransaction that writes it, as if it were a statement of its own.
 *
 * The trigger is ENABLE REPLICA, so that ordinary sessions do not know it; those that
 * set session_replication_role = replica are no workers, and leave here.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/rel.h"

#include "application/replicated.h"
#include "base/compat.h"
#include "base/settings.h"
#include "capture/batch.h"
#include "capture/call.h"
#include "capture/moved_row.h"
#include "capture/subscription.h"
#include "capture/workspace.h"
#include "process/stats.h"

/* True if an UPDATE of this source can be an event. */
static bool
has_updates(Source source)
{
	return source != SOURCE_VOTE && source != SOURCE_MENTION;
}

/* Captures an INSERT or UPDATE, an INSERT that ends a move being an UPDATE. */
static void
capture_written_row(Capture *capture, TupleTableSlot *deleted)
{
	bool	   announced = replicated_announced();
	bool	   announces = setting_capture && announced && subscriptions_any();
	bool	   update = TRIGGER_FIRED_BY_UPDATE(capture->trigger->tg_event) || deleted;
	Transition transition;

	if (!setting_capture && announced && !update)
		stats_count_skipped(1);
	/* what may happen only once is marked in any case */
	if (!announces && (!update || (capture->source != SOURCE_POST &&
								   capture->source != SOURCE_COMMENT)))
		return;
	if (capture_binding(capture) == NULL)
		return;
	transition_open(&transition, capture->source, capture->bound, capture->trigger);
	if (deleted && transition_pair(&transition, deleted) && !has_updates(capture->source))
		return;
	if (transition.old_slot == NULL && !announces)
		return;
	if (transition_advance(&transition))
		batch_process_rows(&transition, capture->function, announces,
						   (OtherTriggers){ false });
}

/* A row of a source that has events */
static void
capture_row(Capture *capture)
{
	const TriggerData *trigger = capture->trigger;
	TupleTableSlot	  *deleted;

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		moved_row_deleted(capture->source, trigger->tg_relation, trigger->tg_trigslot);
		return;
	}
	deleted = moved_row_take(capture->source, trigger->tg_relation);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		capture_written_row(capture, deleted);
	else
		capture_written_row(capture, NULL);
	if (deleted)
		ExecDropSingleTupleTableSlot(deleted);
}

/* Refuses to be anything but the trigger that integration_attach() creates. */
static Source
row_trigger_source(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Source		 source = SOURCE_COUNT;

	bool update;

	if (CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_AFTER(trigger->tg_event) &&
		TRIGGER_FIRED_FOR_ROW(trigger->tg_event) && trigger->tg_trigger->tgnargs == 1)
		source = source_by_name(trigger->tg_trigger->tgargs[0],
								strlen(trigger->tg_trigger->tgargs[0]));
	update = source != SOURCE_COUNT && TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	if (source != SOURCE_COUNT &&
		(source >= SOURCE_POST ? !update || has_updates(source)
		 : source == SOURCE_BOARD
			 ? !TRIGGER_FIRED_BY_INSERT(trigger->tg_event)
			 : source == SOURCE_WORKSPACE && !TRIGGER_FIRED_BY_INSERT(trigger->tg_event)))
		return source;
	ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					errmsg("featul_integrations.capture_row() must be called by a "
						   "trigger that integration_attach() has created")));
}

FEATUL_FUNCTION(featul_capture_row);

/* featul_integrations.capture_row() */
Datum
featul_capture_row(PG_FUNCTION_ARGS)
{
	Source	source = row_trigger_source(fcinfo);
	Capture capture = { .source = source,
						.function = fcinfo->flinfo->fn_oid,
						.trigger = (TriggerData *) fcinfo->context };

	/* what is remembered of a board is void whoever moves it, and captures nothing */
	if (source == SOURCE_BOARD)
		capture_board(&capture);
	else if (!replicated_by_worker())
		return PointerGetDatum(NULL);
	else if (source >= SOURCE_POST)
		capture_row(&capture);
	else if (TRIGGER_FIRED_BY_UPDATE(capture.trigger->tg_event))
		capture_workspace_update(&capture);
	else
		capture_workspace_row(&capture);
	return PointerGetDatum(NULL);
}
