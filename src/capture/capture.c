/*
 * capture.c
 *		The trigger function on the application's tables.
 *
 * Every statement on an application table comes by here, so the order is: what
 * can be decided from the rows and from memory first (nobody listens, nothing
 * of interest changed), without a query, a change of rights or a
 * subtransaction.  Only for rows that are left the function becomes the
 * extension's owner and works in batches (batch.c).
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/settings.h"
#include "capture/batch.h"
#include "capture/call.h"
#include "capture/subscription.h"
#include "capture/workspace.h"
#include "process/stats.h"

/*
 * The application's own triggers for such a statement.  Internal ones are foreign keys, those
 * that fire in replicas alone are our own.  Those of rows come before ours.
 */
static OtherTriggers
other_triggers(const TriggerData *trigger)
{
	const TriggerDesc *triggers = trigger->tg_relation->trigdesc;
	int16		  type = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? TRIGGER_TYPE_INSERT
																	: TRIGGER_TYPE_UPDATE;
	OtherTriggers others = { false };

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *other = &triggers->triggers[i];

		if (other->tgisinternal || other->tgfoid == trigger->tg_trigger->tgfoid ||
			!TRIGGER_FOR_AFTER(other->tgtype) ||
			(other->tgenabled != TRIGGER_FIRES_ON_ORIGIN &&
			 other->tgenabled != TRIGGER_FIRES_ALWAYS))
			continue;
		others.any = others.any || (other->tgtype & type) != 0;
		others.later = others.later || !TRIGGER_FOR_ROW(other->tgtype);
	}
	return others;
}

/* INSERT or UPDATE of a source that has events */
static void
capture_changes(Capture *capture)
{
	const TriggerData *trigger = capture->trigger;
	bool			   update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	bool			   announces = setting_capture && subscriptions_any();
	Transition		   transition;

	if (!setting_capture && !update)
		stats_count_skipped(tuplestore_tuple_count(trigger->tg_newtable));
	/* what may happen only once is marked in any case */
	if (!announces && (!update || (capture->source != SOURCE_POST &&
								   capture->source != SOURCE_COMMENT)))
		return;
	if (capture_binding(capture) == NULL)
		return;
	transition_open(&transition, capture->source, capture->bound, trigger);
	if (transition_advance(&transition))
		batch_process_rows(&transition, capture->function, announces,
						   other_triggers(trigger));
	transition_close(&transition);
}

/* Refuses to be anything but the trigger that integration_attach() creates. */
static Source
statement_trigger_source(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Source		 source = SOURCE_COUNT;

	if (CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_AFTER(trigger->tg_event) &&
		TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) &&
		trigger->tg_trigger->tgnargs == 1)
		source = source_by_name(trigger->tg_trigger->tgargs[0],
								strlen(trigger->tg_trigger->tgargs[0]));
	if (source != SOURCE_COUNT)
	{
		bool insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
		bool update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
		bool delete = TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
		bool has_old = trigger->tg_oldtable != NULL;
		bool has_new = trigger->tg_newtable != NULL;

		if (source >= SOURCE_POST ? (insert && has_new) || (update && has_old && has_new)
			: source == SOURCE_BOARD
				? !insert && (!update || (has_old && has_new))
				: source == SOURCE_WORKSPACE && !insert &&
					  (!update || (has_old && has_new)) && (!delete || has_old))
			return source;
	}
	ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					errmsg("featul_integrations.capture() must be called by a trigger "
						   "that integration_attach() has created")));
}

FEATUL_FUNCTION(featul_capture);

/* featul_integrations.capture() */
Datum
featul_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Source		 source = statement_trigger_source(fcinfo);
	Capture		 capture = { .source = source,
							 .function = fcinfo->flinfo->fn_oid,
							 .trigger = trigger };

	/* who has connected by now, as this statement may see: it may hold all locks already */
	AcceptInvalidationMessages();
	if (source >= SOURCE_POST)
		capture_changes(&capture);
	else if (source == SOURCE_BOARD)
		capture_board(&capture);
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		capture_workspace_update(&capture);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		capture_workspace_delete(&capture);
	else
		capture_workspace_truncate(&capture);
	return PointerGetDatum(NULL);
}
