/*
 * workspace.c
 *		Workspaces that are deleted, and boards that move.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "application/lookup.h"
#include "application/replicated.h"
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
delete_integrations(Datum workspace_ids)
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
	arguments[0] = workspace_ids;
	own_query_change(plan, arguments, SPI_OK_DELETE);
	own_query_end(&query);
}

/* See workspace.h. */
void
capture_workspace_delete(Capture *capture)
{
	UserContext caller;
	Deletion   *deletion;
	ErrorData  *error = NULL;

	if (replicated_source(SOURCE_WORKSPACE) || capture_binding(capture) == NULL)
		return; /* a node's copy is no customer who leaves */
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
			delete_integrations(lookups_text_array(deletion->ids, deletion->count));
		MemoryContextReset(deletion->memory);
	}
	user_context_restore(&caller);
	transition_close(&deletion->rows);
}

/* ------------------------------------------------------------------------
 * Ids that change
 * ------------------------------------------------------------------------ */

/* The id of a workspace's integrations while ids change. */
#define ON_THE_WAY(id) "pg_catalog.chr(1) OPERATOR(pg_catalog.||) " id

/* Going through updated workspaces. */
typedef struct Renaming
{
	Transition rows;
	RowReader *reader;
	int		   count;
	bool	   too_long; /* an id, which no integration can follow */
	Text	   from[READ_IDS];
	Text	   to[READ_IDS];
} Renaming;

/* Notes the row in the slots, if its id has changed. */
static void
add_renamed(Renaming *renaming)
{
	Text from = row_text(
		row_read(renaming->reader, renaming->rows.old_slot, COLUMN_BIT(WORKSPACE_ID)),
		WORKSPACE_ID);
	Text to = row_text(
		row_read(renaming->reader, renaming->rows.new_slot, COLUMN_BIT(WORKSPACE_ID)),
		WORKSPACE_ID);

	if (from.data == NULL || to.data == NULL || text_same(from, to))
		return;
	if (to.length > WORKSPACE_ID_MAX_BYTES)
	{
		renaming->too_long = true;
		return;
	}
	renaming->from[renaming->count] = from;
	renaming->to[renaming->count++] = to;
}

/* Step: reads the row in the slots, and the next ones. */
static void
read_renamed(void *argument)
{
	Renaming *renaming = argument;

	renaming->count = 0;
	do
		add_renamed(renaming);
	while (transition_advance(&renaming->rows) && renaming->count < READ_IDS);
}

/*
 * Step: takes the integrations along, by way of ids that no workspace has: two may change
 * places.  Where the new id has some already (of a workspace that is gone, on a node that
 * did not see it go), they cannot.
 */
static void
rename_integrations(void *argument)
{
	const Renaming	 *renaming = argument;
	static SPIPlanPtr leave = NULL;
	static SPIPlanPtr arrive = NULL;
	Oid				  types[] = { TEXTARRAYOID, TEXTARRAYOID };
	Datum			  arguments[2];
	OwnQuery		  query;

	own_query_begin(&query);
	own_query_prepare(&leave,
					  "UPDATE featul_integrations.integration"
					  " SET workspace_id = " ON_THE_WAY(
						  "workspace_id") " WHERE workspace_id = ANY ($1)",
					  1, types);
	own_query_prepare(&arrive,
					  "UPDATE featul_integrations.integration AS i"
					  " SET workspace_id = u.renamed"
					  " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))"
					  " AS u (id, renamed) WHERE i.workspace_id = " ON_THE_WAY("u.id"),
					  2, types);
	arguments[0] = lookups_text_array(renaming->from, renaming->count);
	arguments[1] = lookups_text_array(renaming->to, renaming->count);
	own_query_change(leave, arguments, SPI_OK_UPDATE);
	if (SPI_processed > 0)
		own_query_change(arrive, arguments, SPI_OK_UPDATE);
	own_query_end(&query);
}

/* Reports that integrations could not be taken along. */
static void
report_too_long(void)
{
	const ErrorData error = {
		.sqlerrcode = ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		.message = psprintf("the id of a workspace is longer than %d bytes now",
							WORKSPACE_ID_MAX_BYTES),
		.hint = "Its integrations stay with the id that it had.",
	};

	failure_report(SOURCE_WORKSPACE, &error);
}

/* Works off the rows from the one in the slots on. */
static void
rename_rows(Renaming *renaming)
{
	UserContext caller;
	ErrorData  *error = NULL;

	user_context_as_extension(&caller);
	renaming->reader = row_reader(renaming->rows.bound);
	while (!renaming->rows.done && error == NULL)
	{
		error = subtransaction_run(read_renamed, renaming);
		if (error == NULL && renaming->count > 0)
			error = subtransaction_run(rename_integrations, renaming);
		if (error)
			failure_report(SOURCE_WORKSPACE, error);
	}
	if (renaming->too_long)
		report_too_long();
	user_context_restore(&caller);
}

/* See workspace.h. */
void
capture_workspace_update(Capture *capture)
{
	Renaming *renaming;

	if (capture_binding(capture) == NULL)
		return;
	renaming = palloc(sizeof(Renaming));
	renaming->too_long = false;
	transition_open(&renaming->rows, SOURCE_WORKSPACE, capture->bound, capture->trigger);
	if (transition_advance(&renaming->rows))
		rename_rows(renaming);
	transition_close(&renaming->rows);
}

/* ------------------------------------------------------------------------
 * TRUNCATE
 * ------------------------------------------------------------------------ */

/* Brings those of these workspaces that are gone to the front; how many they are. */
static int
gone_workspaces(Text *ids, int count)
{
	Lookups *lookups = lookups_create();
	int		 gone = 0;

	CommandCounterIncrement(); /* what is deleted is not to be seen */
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < count; i++)
		lookups_want(lookups, SOURCE_WORKSPACE, ids[i], InvalidOid);
	lookups_fetch(lookups, SOURCE_WORKSPACE);
	PopActiveSnapshot();
	for (int i = 0; i < count; i++)
		if (lookups_get(lookups, SOURCE_WORKSPACE, ids[i]) == NULL)
			ids[gone++] = ids[i];
	return gone;
}

/* The ids of the workspaces that have integrations, by the latest snapshot. */
static Text *
workspaces_with_integrations(int *count)
{
	static SPIPlanPtr plan = NULL;
	OwnQuery		  query;
	Text			 *ids;

	own_query_begin(&query);
	own_query_prepare(&plan,
					  "SELECT DISTINCT workspace_id FROM featul_integrations.integration",
					  0, NULL);
	own_query_read_latest(plan);
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
	Text	   *ids;
	int			count;

	if (replicated_source(SOURCE_WORKSPACE) || capture_binding(capture) == NULL)
		return;
	user_context_as_extension(&caller);
	ids = workspaces_with_integrations(&count);
	count = gone_workspaces(ids, count);
	if (count > 0)
		delete_integrations(lookups_text_array(ids, count));
	user_context_restore(&caller);
}

/* ------------------------------------------------------------------------
 * Rows of a subscription
 *
 * One that is deleted may come back at once: it moves between partitions.  So
 * they are only noted, and looked for before the transaction commits.
 * ------------------------------------------------------------------------ */

/* What was deleted in this transaction, in its memory. */
typedef struct Deleted
{
	List *ids;	/* Text * */
	Datum gone; /* text[]: those that have not come back */
} Deleted;

static Deleted *deleted_workspaces = NULL;

/* Step: which of the noted ones have not come back. */
static void
find_gone(void *argument)
{
	Deleted	 *deleted = argument;
	Text	 *ids = palloc(list_length(deleted->ids) * sizeof(Text));
	int		  count = 0;
	ListCell *cell;

	foreach (cell, deleted->ids)
		ids[count++] = *(Text *) lfirst(cell);
	count = gone_workspaces(ids, count);
	if (count > 0)
		deleted->gone = lookups_text_array(ids, count);
}

/* Removes the integrations of the workspaces that are gone. */
static void
remove_noted(Deleted *deleted)
{
	MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);
	UserContext	  caller;
	ErrorData	 *error;

	PushActiveSnapshot(GetTransactionSnapshot());
	user_context_as_extension(&caller);
	error = subtransaction_run(find_gone, deleted);
	if (error)
		failure_report(SOURCE_WORKSPACE, error);
	else if (deleted->gone)
		delete_integrations(deleted->gone);
	user_context_restore(&caller);
	PopActiveSnapshot();
	MemoryContextSwitchTo(context);
}

/* Transaction callback */
static void
remove_noted_at_commit(XactEvent event, void *unused)
{
	Deleted *deleted = deleted_workspaces;

	deleted_workspaces = NULL;
	if (deleted && (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE))
		remove_noted(deleted);
}

/* Gets ready to note workspaces of this transaction. */
static Deleted *
begin_noting(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(remove_noted_at_commit, NULL);
	registered = true;
	if (deleted_workspaces == NULL)
	{
		Deleted *deleted = MemoryContextAllocZero(TopTransactionContext, sizeof(Deleted));

		deleted_workspaces = deleted;
	}
	return deleted_workspaces;
}

/* Step: notes the workspace in the trigger's slot. */
static void
note_workspace(void *argument)
{
	Capture		 *capture = argument;
	Deleted		 *deleted = begin_noting();
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	Row *row = row_read(row_reader(capture->bound), capture->trigger->tg_trigslot,
						COLUMN_BIT(WORKSPACE_ID));

	if (!row->value[WORKSPACE_ID].isnull)
		deleted->ids = lappend(deleted->ids, &row->value[WORKSPACE_ID].text);
	MemoryContextSwitchTo(caller);
}

/* See workspace.h. */
void
capture_workspace_row(Capture *capture)
{
	UserContext caller;
	ErrorData  *error;

	if (capture_binding(capture) == NULL)
		return;
	user_context_as_extension(&caller);
	error = subtransaction_run(note_workspace, capture);
	if (error)
		failure_report(SOURCE_WORKSPACE, error);
	user_context_restore(&caller);
}

/* ------------------------------------------------------------------------
 * Boards
 * ------------------------------------------------------------------------ */

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
