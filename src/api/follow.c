/*
 * follow.c
 *		Following the application's older table of integrations, so that its own
 *		settings page goes on working: a row trigger makes here what was made there,
 *		in the same transaction.
 *
 * A row that is refused is a WARNING, never an error of the application's statement.
 * The trigger fires in the workers of a subscription too (a delivery node), but not in
 * sessions that silence triggers.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "api/import.h"
#include "api/query.h"
#include "application/binding.h"
#include "application/replicated.h"
#include "application/user_context.h"
#include "base/compat.h"
#include "base/subtransaction.h"

/* One change of the table. */
typedef struct FollowedChange
{
	const OldIntegration *old; /* NULL: inserted */
	const OldIntegration *new; /* NULL: deleted */
	ArrayType *events;
	char	  *problem; /* out */
} FollowedChange;

/* A column's value as text; NULL is SQL's, or that there is no such column. */
static char *
value_of(HeapTuple row, TupleDesc columns, const char *name)
{
	int number = SPI_fnumber(columns, name);

	return number > 0 ? SPI_getvalue(row, columns, number) : NULL;
}

/* A row of the table; a NULL is_active is active. */
static OldIntegration *
read_old_integration(HeapTuple row, TupleDesc columns)
{
	OldIntegration *old = palloc(sizeof(OldIntegration));
	char		   *active = value_of(row, columns, "is_active");

	old->workspace_id = value_of(row, columns, "workspace_id");
	old->type = value_of(row, columns, "type");
	old->webhook_url = value_of(row, columns, "webhook_url");
	old->is_active = active == NULL || strcmp(active, "f") != 0;
	return old;
}

/* Both NULL, or equal. */
static bool
same_text(const char *one, const char *other)
{
	return one && other ? strcmp(one, other) == 0 : one == other;
}

/* Do the rows stand for the same integration? */
static bool
same_key(const OldIntegration *one, const OldIntegration *other)
{
	return same_text(one->workspace_id, other->workspace_id) &&
		   same_text(one->type, other->type);
}

/* Step: makes the change here. */
static void
follow_change(void *argument)
{
	FollowedChange *change = argument;

	if (change->old && (change->new == NULL || !same_key(change->old, change->new)))
		import_remove(change->old);
	if (change->new)
		change->problem = import_update(change->new, change->events);
}

/* Warns of a row that could not be taken over. */
static void
warn_of(const OldIntegration *row, const char *problem)
{
	ereport(
		WARNING,
		(errmsg("an integration of the application could not be taken over: %s", problem),
		 errdetail("It is of type \"%s\", of the workspace with the id \"%s\".",
				   row->type ? row->type : "",
				   row->workspace_id ? row->workspace_id : "")));
}

/* Makes one change here; a row that is refused, or cannot be handled, is a WARNING. */
static void
follow_row(FollowedChange *change)
{
	const OldIntegration *row = change->new ? change->new : change->old;
	ErrorData			 *error = subtransaction_run(follow_change, change);

	if (error || change->problem)
		warn_of(row, error ? error->message : change->problem);
}

FEATUL_FUNCTION(featul_follow);

/* follow(): the row trigger on the application's older table */
Datum
featul_follow(PG_FUNCTION_ARGS)
{
	TriggerData	  *trigger = (TriggerData *) fcinfo->context;
	FollowedChange change = { 0 };
	TupleDesc	   columns;
	OwnQuery	   query;
	UserContext	   state;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("follow() is integration_import()'s row trigger")));
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA &&
		!replicated_by_worker())
		return PointerGetDatum(NULL);
	user_context_as_extension(&state);
	query_begin(&query);
	columns = RelationGetDescr(trigger->tg_relation);
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		change.new = read_old_integration(trigger->tg_trigtuple, columns);
	else
		change.old = read_old_integration(trigger->tg_trigtuple, columns);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		change.new = read_old_integration(trigger->tg_newtuple, columns);
	if (trigger->tg_trigger->tgnargs > 0)
		change.events = DatumGetArrayTypeP(OidInputFunctionCall(
			F_ARRAY_IN, trigger->tg_trigger->tgargs[0], TEXTOID, -1));
	if (binding_attached() &&
		!(change.old && change.new &&same_key(change.old, change.new) &&
		  same_text(change.old->webhook_url, change.new->webhook_url) &&
		  change.old->is_active == change.new->is_active))
		follow_row(&change);
	query_end(&query);
	user_context_restore(&state);
	return PointerGetDatum(NULL);
}
