/*
 * call.c
 *		One call of the trigger function: the binding it goes by.
 */
#include "postgres.h"

#include "utils/rel.h"

#include "application/user_context.h"
#include "base/subtransaction.h"
#include "capture/call.h"
#include "capture/failure.h"
#include "process/stats.h"

/* Step: compiles the binding for the trigger's table. */
static void
find_binding(void *argument)
{
	Capture *capture = argument;

	capture->bound =
		binding_of(capture->source, RelationGetRelid(capture->trigger->tg_relation));
}

/* See call.h. */
BoundRelation *
capture_binding(Capture *capture)
{
	capture->bound =
		binding_peek(capture->source, RelationGetRelid(capture->trigger->tg_relation));
	if (capture->bound == NULL)
	{
		UserContext caller;
		ErrorData  *error;

		user_context_as_extension(&caller);
		error = subtransaction_run(find_binding, capture);
		if (error)
		{
			failure_report(capture->source, error);
			capture->bound = NULL;
		}
		user_context_restore(&caller);
	}
	else if (capture->bound->broken)
	{
		stats_count_skipped(1);
		return NULL;
	}
	return capture->bound;
}
