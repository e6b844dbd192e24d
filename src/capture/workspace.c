/*
 * workspace.c
 *		Workspaces that are deleted, and boards that move.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "application/lookup.h"
#include "application/row.h"
#include "application/user_context.h"
#include "base/compat.h"
#include "base/own_query.h"
#include "base/subtransaction.h"
#include "capture/failure.h"
#include "capture/transition.h"
#include "capture/workspace.h"

/* Ids read together */
#define READ_IDS 500

/* Going through deleted workspaces. */
typedef struct Deletion
{
	Transition	  rows;
	RowReader	 *reader;
	MemoryContext memory; /* for the ids */
	int			  count;
	Text		  ids[READ_IDS];
} Deletion;

/* Step: reads the ids of the next rows in the old transition table. */
static void
read_old_ids(void *argument)
{
	Deletion	 *deletion = argument;
	MemoryContext caller = MemoryContextSwitchTo(deletion->memory);

	deletion->count = 0;
	while (deletion->count < READ_IDS && transition_next_old(&deletion->rows))
	{
		Row *row =
			row_read(deletion->reader, deletion->rows.old_slot, COLUMN_BIT(WORKSPACE_ID));

		if (!row->value[WORKSPACE_ID].isnull)
			deletion->ids[deletion->count++] = row->value[WORKSPACE_ID].text;
	}
	MemoryContextSwitchTo(caller);
}

/* Deletes the integrations of these workspaces; raises what a DELETE raises. */
static void
delete_integrations(const Text *workspace_ids, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = { TEXTARRAYOID };
	Datum			  arguments[1];
	OwnQuery		  query;

	own_query_begin(&query);
	own_query_prepare(
		&plan,
		"DELETE FROM featul_integrations.integration WHERE workspace_id = ANY ($1)", 1,
		types);
	arguments[0] = lookups_text_array(workspace_ids, count);
	if (SPI_execute_plan(plan, arguments, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete integrations");
	own_query_end(&query);
}

/* See workspace.h. */
void
capture_workspace_delete(Capture *capture)
{
	UserContext caller;
	Deletion   *deletion;
	ErrorData  *error = NULL;

	if (capture_binding(capture) == NULL)
		return;
	deletion = palloc(sizeof(Deletion));
	transition_open(&deletion->rows, SOURCE_WORKSPACE, capture->bound, capture->trigger);
	user_context_as_extension(&caller);
	deletion->reader = row_reader(capture->bound);
	deletion->memory = AllocSetContextCreate(
		CurrentMemoryContext, "featul_integrations workspaces", ALLOCSET_DEFAULT_SIZES);
	while (!deletion->rows.done && error == NULL)
	{
		error = subtransaction_run(read_old_ids, deletion);
		if (error)
		{
			failure_report(SOURCE_WORKSPACE, error);
		}
		else if (deletion->count > 0)
			delete_integrations(deletion->ids, deletion->count);
		MemoryContextReset(deletion->memory);
	}
	user_context_restore(&caller);
	transition_close(&deletion->rows);
}

/* The ids of all workspaces that have integrations. */
static Text *
connected_workspaces(int *count)
{
	OwnQuery query;
	Text	*ids;

	own_query_begin(&query);
	if (SPI_execute("SELECT DISTINCT workspace_id FROM featul_integrations.integration",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read integrations");
	MemoryContextSwitchTo(query.memory);
	*count = SPI_processed;
	ids = palloc(Max(*count, 1) * sizeof(Text));
	for (int i = 0; i < *count; i++)
	{
		bool isnull;

		ids[i] = text_of_datum(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	own_query_end(&query);
	return ids;
}

/* See workspace.h. */
void
capture_workspace_truncate(Capture *capture)
{
	UserContext caller;
	Lookups	   *lookups = lookups_create();
	Text	   *ids;
	int			count;
	int			gone = 0;

	if (capture_binding(capture) == NULL)
		return;
	user_context_as_extension(&caller);
	ids = connected_workspaces(&count);
	CommandCounterIncrement(); /* what is gone is not to be seen */
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < count; i++)
		lookups_want(lookups, SOURCE_WORKSPACE, ids[i], InvalidOid);
	lookups_fetch(lookups, SOURCE_WORKSPACE);
	for (int i = 0; i < count; i++)
		if (lookups_get(lookups, SOURCE_WORKSPACE, ids[i]) == NULL)
			ids[gone++] = ids[i];
	PopActiveSnapshot();
	if (gone > 0)
		delete_integrations(ids, gone);
	user_context_restore(&caller);
}

/* See workspace.h. */
void
capture_board(Capture *capture)
{
	bool changed = true;

	if (capture_binding(capture) == NULL)
		return;
	if (TRIGGER_FIRED_BY_UPDATE(capture->trigger->tg_event))
	{
		Transition rows;

		transition_open(&rows, SOURCE_BOARD, capture->bound, capture->trigger);
		changed = transition_advance(&rows);
		transition_close(&rows);
	}
	if (changed)
		CacheInvalidateRelcacheByRelid(binding_relid(SOURCE_BOARD));
}
