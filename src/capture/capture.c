/*
 * capture.c
 *		The trigger function on the application's tables.
 *
 * Every statement on an application table comes by here, so the order is: what
 * can be decided from the rows and from memory first (nobody listens, nothing
 * of interest changed), without a query, a change of rights or a
 * subtransaction.  Only for rows that are left the function becomes the
 * extension's owner and works in batches, in two steps each:
 *
 *  - finding out what happened, which only reads, inside a subtransaction: an
 *    error (a row that an expression cannot digest, a table that has changed)
 *    becomes a WARNING and is counted, and the application's statement goes on;
 *  - writing, outside of it: the application's transaction gets no additional
 *    subtransaction ids, and what fails here (a full disk) fails for all.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "capture/event.h"
#include "application/lookup.h"
#include "application/user_context.h"
#include "capture/record.h"
#include "application/row.h"
#include "base/settings.h"
#include "process/stats.h"
#include "process/wakeup.h"
#include "capture/subscription.h"

/* Bounds of a batch; its memory is freed before the next. */
#define BATCH_ROWS 500
#define BATCH_BYTES (4 * 1024 * 1024)

/* One call of the trigger function. */
typedef struct Capture
{
	Source		   source;
	Oid			   function; /* the trigger function */
	Relation	   relation;
	BoundRelation *bound;
	RowReader	  *reader;
	MemoryContext  context; /* for the call */
	bool		   events;	/* else only marks */

	/* the transition tables, and where we are in them */
	Tuplestorestate *old_rows; /* NULL: an INSERT */
	Tuplestorestate *new_rows;
	TupleTableSlot	*old_slot;
	TupleTableSlot	*new_slot;
	bool			 by_id;	 /* rows do not pair up by position */
	bool			 at_row; /* the slots hold rows that are yet to be read */
	bool			 done;
	uint64			 rows; /* that the slots have held */

	/* attributes whose change is of interest; none: all are */
	int			n_attributes;
	AttrNumber *attributes;

	/* the batch */
	MemoryContext batch;
	int			  room;	   /* rows that it takes */
	bool		  is_read; /* as far as it goes */
	int			  n_changes;
	Change		 *changes; /* up to that many of each */
	Datum		 *board_keys;
	int			  n_hidden;
	Text		 *hidden;
	int			  first; /* what compute_events() is to do */
	int			  count;
	List		 *records; /* its result, added up */

	Recorder *recorder; /* NULL until something is written */
} Capture;

/* A step that may fail without harm to the application's statement. */
typedef void (*Step)(Capture *capture);

/* ------------------------------------------------------------------------
 * Failing without breaking the application's statement
 * ------------------------------------------------------------------------ */

/*
 * True for errors that are not about data or tables: the user, the
 * administrator or the transaction's isolation ends the statement.
 */
static bool
must_propagate(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
			return true;
	}
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		   error->sqlerrcode == ERRCODE_DISK_FULL || error->elevel > ERROR;
}

/*
 * True the first time in this session, since attach was run, that this source
 * fails in this way.
 */
static bool
is_new_failure(Source source, int sqlstate)
{
	static struct
	{
		Source source;
		int	   sqlstate;
	} known[64];
	static int	  n_known = 0;
	static uint64 epoch = 0;

	if (epoch != binding_epoch())
		n_known = 0;
	epoch = binding_epoch();
	for (int i = 0; i < n_known; i++)
		if (known[i].source == source && known[i].sqlstate == sqlstate)
			return false;
	if (n_known == lengthof(known))
		return false;
	known[n_known].source = source;
	known[n_known++].sqlstate = sqlstate;
	return true;
}

/* Counts a failure, and warns of it once a session. */
static void
report_failure(Source source, const ErrorData *error)
{
	stats_count_failed(error->message);
	if (is_new_failure(source, error->sqlerrcode))
		ereport(WARNING, (errcode(error->sqlerrcode),
						  errmsg("could not capture changes of \"%s\": %s",
								 source_definitions[source].name, error->message),
						  error->detail ? errdetail_internal("%s", error->detail) : 0,
						  error->hint ? errhint("%s", error->hint) : 0));
}

/* A batch that was read but failed as a whole is tried again: each row speaks for itself. */
static bool
is_tried_again(const Capture *capture)
{
	return capture->is_read && capture->count > 1;
}

/*
 * Runs a step in a subtransaction.  False if it failed; that has been reported
 * (unless it is tried again), and nothing of the step remains but what it left
 * in *capture.
 */
static bool
attempt(Capture *capture, Step step)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool success = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		step(capture);
		ReleaseCurrentSubTransaction();
		success = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		if (must_propagate(error))
			ReThrowError(error);
		if (!is_tried_again(capture))
			report_failure(capture->source, error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return success;
}

/* ------------------------------------------------------------------------
 * Going through the transition tables
 * ------------------------------------------------------------------------ */

/* Reads the next tuple; one that comes from a file lives until the next is read. */
static bool
next_slot(Capture *capture, Tuplestorestate *rows, TupleTableSlot *slot)
{
	MemoryContext caller = MemoryContextSwitchTo(capture->context);
	bool		  found = tuplestore_gettupleslot(rows, true, false, slot);

	MemoryContextSwitchTo(caller);
	return found;
}

/* True if this attribute differs between the old and the new row. */
static bool
attribute_changed(Capture *capture, AttrNumber attribute)
{
	Form_pg_attribute form =
		TupleDescAttr(capture->new_slot->tts_tupleDescriptor, attribute - 1);
	bool  old_null;
	bool  new_null;
	Datum old = slot_getattr(capture->old_slot, attribute, &old_null);
	Datum new = slot_getattr(capture->new_slot, attribute, &new_null);

	if (old_null || new_null)
		return old_null != new_null;
	return !datum_image_eq(old, new, form->attbyval, form->attlen);
}

/*
 * Puts the next old and new row into the slots.  They pair up by position;
 * only when a row that moved between partitions was refused on its way there
 * are there old rows without a new one, which are skipped.
 */
static bool
next_rows(Capture *capture)
{
	if (!next_slot(capture, capture->new_rows, capture->new_slot))
		return false;
	capture->rows++;
	if (capture->old_rows == NULL)
		return true;
	do
	{
		if (!next_slot(capture, capture->old_rows, capture->old_slot))
			return false;
	} while (capture->by_id &&
			 attribute_changed(capture, capture->bound->column[0].attribute));
	return true;
}

/* The post's board, where it is a plain column; false if it is NULL or is none. */
static bool
board_key(Capture *capture, Datum *key, Form_pg_attribute *form)
{
	AttrNumber attribute = capture->bound->column[POST_BOARD_ID].attribute;
	bool	   isnull;

	if (attribute == 0)
		return false;
	*key = slot_getattr(capture->new_slot, attribute, &isnull);
	*form = TupleDescAttr(capture->new_slot->tts_tupleDescriptor, attribute - 1);
	return !isnull;
}

/* True unless it is known from memory that the rows in the slots are no event. */
static bool
may_matter(Capture *capture)
{
	Datum			  key;
	Form_pg_attribute form;

	if (capture->old_rows == NULL)
		return capture->source != SOURCE_POST || !board_key(capture, &key, &form) ||
			   !quiet_board_known(key, form->attbyval, form->attlen);
	if (capture->n_attributes == 0)
		return true;
	for (int i = 0; i < capture->n_attributes; i++)
		if (attribute_changed(capture, capture->attributes[i]))
			return true;
	return false;
}

/* Goes on to the next rows that may matter; false at the end. */
static bool
advance(Capture *capture)
{
	while (next_rows(capture))
		if (may_matter(capture))
			return true;
	capture->done = true;
	return false;
}

/* The attributes that the columns of interest look at. */
static void
find_attributes_of_interest(Capture *capture)
{
	uint32	   columns = event_columns_of_interest(capture->source);
	Bitmapset *all = NULL;
	int		   member = -1;

	for (int i = 0; i < MAX_COLUMNS; i++)
		if (columns & COLUMN_BIT(i))
			all = bms_add_members(all, capture->bound->column[i].attributes);
	capture->attributes = palloc(bms_num_members(all) * sizeof(AttrNumber));
	while ((member = bms_next_member(all, member)) >= 0)
	{
		AttrNumber attribute = member + FirstLowInvalidHeapAttributeNumber;

		if (attribute == InvalidAttrNumber) /* the whole row */
		{
			capture->n_attributes = 0;
			break;
		}
		capture->attributes[capture->n_attributes++] = attribute;
	}
	bms_free(all);
}

/* Gets ready to go through the transition tables of an INSERT or UPDATE. */
static void
open_rows(Capture *capture, const TriggerData *trigger)
{
	TupleDesc desc = RelationGetDescr(trigger->tg_relation);

	capture->new_rows = trigger->tg_newtable;
	capture->new_slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(capture->new_rows, 0);
	tuplestore_rescan(capture->new_rows);
	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return;
	capture->old_rows = trigger->tg_oldtable;
	capture->old_slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(capture->old_rows, 0);
	tuplestore_rescan(capture->old_rows);
	capture->by_id = capture->bound->column[0].attribute > 0 &&
					 tuplestore_tuple_count(capture->old_rows) !=
						 tuplestore_tuple_count(capture->new_rows);
	find_attributes_of_interest(capture);
}

/* ------------------------------------------------------------------------
 * A batch
 * ------------------------------------------------------------------------ */

/*
 * What a batch needs, for all batches of the call.  There are so many rows, and room
 * for one more: a batch that does not get full meets the end.
 */
static void
open_batch(Capture *capture, int64 rows)
{
	capture->reader = row_reader(capture->bound);
	capture->room = Min(rows + 1, BATCH_ROWS);
	capture->changes = palloc(capture->room * sizeof(Change));
	capture->board_keys = palloc(capture->room * sizeof(Datum));
	capture->hidden = palloc(capture->room * sizeof(Text));
	capture->batch = capture->context;
	if (rows > 1) /* one is gone with the call */
		capture->batch = AllocSetContextCreate(
			capture->context, "featul_integrations batch", ALLOCSET_DEFAULT_SIZES);
}

/* Frees what the batch has left. */
static void
reset_batch(Capture *capture)
{
	if (capture->batch != capture->context)
		MemoryContextReset(capture->batch);
}

/* Notes that the row in the new slot was visible. */
static void
add_hidden(Capture *capture)
{
	Row *row = row_read(capture->reader, capture->new_slot, COLUMN_BIT(0));

	if (!row->value[0].isnull)
		capture->hidden[capture->n_hidden++] = row->value[0].text;
}

/* Reads the rows in the slots; keeps them if they are an event. */
static void
read_change(Capture *capture)
{
	uint32			  interest = event_columns_of_interest(capture->source);
	uint32			  all = event_columns(capture->source);
	Change			  change = { 0 };
	Datum			  key = (Datum) 0;
	Form_pg_attribute form;

	if (capture->old_rows)
	{
		change.old = row_read(capture->reader, capture->old_slot, interest);
		change.new = row_read(capture->reader, capture->new_slot, interest);
		if (event_hides(capture->source, change.old, change.new))
			add_hidden(capture);
		if (!capture->events || !event_possible(capture->source, change.old, change.new))
			return;
	}
	change.new = row_read(capture->reader, capture->new_slot, all);
	if (!event_possible(capture->source, change.old, change.new))
		return;
	if (capture->source == SOURCE_POST && board_key(capture, &key, &form))
		key = datumCopy(key, form->attbyval, form->attlen);
	capture->board_keys[capture->n_changes] = key;
	capture->changes[capture->n_changes++] = change;
}

/* Step: reads rows, one at least, until the batch is full or there are no more. */
static void
read_batch(Capture *capture)
{
	MemoryContext caller = MemoryContextSwitchTo(capture->batch);

	while (capture->n_changes < capture->room && capture->n_hidden < capture->room)
	{
		if (!capture->at_row && !advance(capture))
			break;
		capture->at_row = false;
		read_change(capture);
		if (MemoryContextMemAllocated(capture->batch, true) >= BATCH_BYTES)
			break;
	}
	capture->is_read = true;
	MemoryContextSwitchTo(caller);
}

/* Step: finds the events among some of the batch's changes. */
static void
compute_events(Capture *capture)
{
	MemoryContext caller = MemoryContextSwitchTo(capture->batch);
	List		 *records =
		events_of(capture->source, capture->changes + capture->first, capture->count);

	capture->records = list_concat(capture->records, records);
	MemoryContextSwitchTo(caller);
}

/* Remembers the boards that nobody listens to. */
static void
remember_quiet_boards(Capture *capture, uint64 clock)
{
	AttrNumber		  attribute = capture->bound->column[POST_BOARD_ID].attribute;
	Form_pg_attribute form;

	if (capture->source != SOURCE_POST || attribute == 0)
		return;
	form = TupleDescAttr(RelationGetDescr(capture->relation), attribute - 1);
	for (int i = 0; i < capture->n_changes; i++)
		if (capture->changes[i].quiet)
			quiet_board_remember(capture->board_keys[i], form->attbyval, form->attlen,
								 clock);
}

/* Step: both, for a whole batch. */
static void
read_and_compute(Capture *capture)
{
	read_batch(capture);
	capture->first = 0;
	capture->count = capture->n_changes;
	if (capture->count > 0)
		compute_events(capture);
}

/*
 * After a failure: reads on behind the row that cannot be read, and finds the
 * events row by row, so that each failure costs one row.
 */
static void
process_row_by_row(Capture *capture)
{
	bool computed = capture->is_read;

	while (!capture->is_read)
	{
		uint64 rows = capture->rows;

		capture->reader = row_reader(capture->bound); /* an expression was interrupted */
		if (!attempt(capture, read_batch) && capture->rows == rows)
		{
			capture->done = true; /* not a row's fault */
			break;
		}
	}
	if (computed && capture->n_changes == 1)
		return;
	capture->count = 1;
	for (capture->first = 0; capture->first < capture->n_changes; capture->first++)
		(void) attempt(capture, compute_events);
}

/* Writes the batch's events; raises what an INSERT raises. */
static void
write_records(Capture *capture)
{
	ListCell	 *cell;
	MemoryContext caller;

	capture->records = record_milestones(capture->records);
	if (capture->records == NIL)
		return;
	if (capture->recorder == NULL)
	{
		caller = MemoryContextSwitchTo(capture->context);
		capture->recorder = recorder_open(capture->function);
		MemoryContextSwitchTo(caller);
	}
	foreach (cell, capture->records)
		recorder_write(capture->recorder, lfirst(cell));
	recorder_flush(capture->recorder);
	stats_count_captured(list_length(capture->records));
	wakeup_workers_at_commit();
}

/* Reads, finds out and writes one batch. */
static void
process_batch(Capture *capture)
{
	MemoryContext caller;
	uint64		  clock = subscriptions_clock();

	capture->n_changes = 0;
	capture->n_hidden = 0;
	capture->records = NIL;
	capture->is_read = false;
	if (!attempt(capture, read_and_compute))
		process_row_by_row(capture);
	remember_quiet_boards(capture, clock);

	caller = MemoryContextSwitchTo(capture->batch);
	if (capture->n_hidden > 0)
		record_hidden(capture->source, capture->hidden, capture->n_hidden);
	if (capture->records)
		write_records(capture);
	MemoryContextSwitchTo(caller);
	reset_batch(capture);
}

/* The rows that may matter, from the one in the slots on. */
static void
process_rows(Capture *capture)
{
	OwnerState state;
	int		   nest = 0;

	owner_begin(&state, capture->function);
	if (capture->bound->unsafe_functions)
		nest = binding_safe_search_path();
	open_batch(capture, tuplestore_tuple_count(capture->new_rows));
	while (!capture->done)
		process_batch(capture);
	if (capture->recorder)
		recorder_close(capture->recorder);
	if (nest > 0)
		AtEOXact_GUC(true, nest);
	owner_end(&state);
}

/* ------------------------------------------------------------------------
 * The sources
 * ------------------------------------------------------------------------ */

/* Step: compiles the binding for the trigger's table. */
static void
find_binding(Capture *capture)
{
	capture->bound = binding_of(capture->source, RelationGetRelid(capture->relation));
}

/*
 * The binding for the trigger's table; NULL (and reported or counted) where
 * the table does not fit it any more, or is not bound at all.
 */
static BoundRelation *
bound_or_reported(Capture *capture)
{
	capture->bound = binding_peek(capture->source, RelationGetRelid(capture->relation));
	if (capture->bound == NULL)
	{
		OwnerState state;

		owner_begin(&state, capture->function);
		if (!attempt(capture, find_binding))
			capture->bound = NULL;
		owner_end(&state);
	}
	else if (capture->bound->broken)
	{
		stats_count_skipped(1);
		return NULL;
	}
	return capture->bound;
}

/* INSERT or UPDATE of a source that has events */
static void
capture_changes(Capture *capture, const TriggerData *trigger)
{
	bool update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);

	capture->events = setting_capture && subscriptions_any(capture->function);
	if (!setting_capture && !update)
		stats_count_skipped(tuplestore_tuple_count(trigger->tg_newtable));
	/* what may happen only once is marked in any case */
	if (!capture->events && (!update || (capture->source != SOURCE_POST &&
										 capture->source != SOURCE_COMMENT)))
		return;
	if (bound_or_reported(capture) == NULL)
		return;
	open_rows(capture, trigger);
	if (advance(capture))
	{
		capture->at_row = true;
		process_rows(capture);
	}
	ExecDropSingleTupleTableSlot(capture->new_slot);
	if (capture->old_slot)
		ExecDropSingleTupleTableSlot(capture->old_slot);
}

/* Step: reads the ids of the rows in the old transition table. */
static void
read_old_ids(Capture *capture)
{
	MemoryContext caller = MemoryContextSwitchTo(capture->batch);

	capture->n_hidden = 0;
	while (capture->n_hidden < capture->room)
	{
		Row *row;

		if (!next_slot(capture, capture->old_rows, capture->old_slot))
		{
			capture->done = true;
			break;
		}
		row = row_read(capture->reader, capture->old_slot, COLUMN_BIT(WORKSPACE_ID));
		if (!row->value[WORKSPACE_ID].isnull)
			capture->hidden[capture->n_hidden++] = row->value[WORKSPACE_ID].text;
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
	OwnerQuery		  query;

	owner_query_begin(&query);
	owner_prepare(
		&plan,
		"DELETE FROM featul_integrations.integration WHERE workspace_id = ANY ($1)", 1,
		types);
	arguments[0] = lookups_text_array(workspace_ids, count);
	if (SPI_execute_plan(plan, arguments, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete integrations");
	owner_query_end(&query);
}

/* The integrations of workspaces that were deleted go with them. */
static void
capture_workspace_delete(Capture *capture, const TriggerData *trigger)
{
	OwnerState state;

	if (bound_or_reported(capture) == NULL)
		return;
	capture->old_rows = trigger->tg_oldtable;
	capture->old_slot = MakeSingleTupleTableSlot(RelationGetDescr(capture->relation),
												 &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(capture->old_rows, 0);
	tuplestore_rescan(capture->old_rows);
	owner_begin(&state, capture->function);
	open_batch(capture, tuplestore_tuple_count(capture->old_rows));
	while (!capture->done && attempt(capture, read_old_ids))
	{
		if (capture->n_hidden > 0)
			delete_integrations(capture->hidden, capture->n_hidden);
		reset_batch(capture);
	}
	owner_end(&state);
	ExecDropSingleTupleTableSlot(capture->old_slot);
}

/* The workspaces that are left, of those that have integrations; as an array. */
static Datum
remaining_workspaces(void)
{
	Oid			   types[] = { TEXTARRAYOID };
	Datum		   ids[1];
	OwnerState	   state;
	StringInfoData sql;
	bool		   isnull;

	if (SPI_execute("SELECT coalesce(array_agg(DISTINCT workspace_id), '{}')"
					" FROM featul_integrations.integration",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read integrations");
	ids[0] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT coalesce(array_agg(w.id), '{}') FROM ");
	binding_append_relation(&sql, SOURCE_WORKSPACE, "w");
	appendStringInfoString(&sql, " WHERE w.id = ANY ($1)");
	owner_bound_begin(&state, SOURCE_WORKSPACE);
	if (SPI_execute_with_args(sql.data, 1, types, ids, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read workspaces");
	owner_end(&state);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
}

/* TRUNCATE of workspaces, or of a part of them */
static void
capture_workspace_truncate(Capture *capture)
{
	Oid		   types[] = { TEXTARRAYOID };
	Datum	   ids[1];
	OwnerState state;
	OwnerQuery query;

	if (bound_or_reported(capture) == NULL)
		return;
	owner_begin(&state, capture->function);
	owner_query_begin(&query);
	ids[0] = remaining_workspaces();
	if (SPI_execute_with_args("DELETE FROM featul_integrations.integration"
							  " WHERE workspace_id <> ALL ($1)",
							  1, types, ids, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete integrations");
	owner_query_end(&query);
	owner_end(&state);
}

/*
 * Boards that may have another workspace than before: what every process
 * remembers about them is void.
 */
static void
capture_board(Capture *capture, const TriggerData *trigger)
{
	bool changed = true;

	if (bound_or_reported(capture) == NULL)
		return;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		open_rows(capture, trigger);
		changed = advance(capture);
		ExecDropSingleTupleTableSlot(capture->new_slot);
		ExecDropSingleTupleTableSlot(capture->old_slot);
	}
	if (changed)
		CacheInvalidateRelcacheByRelid(binding_relid(SOURCE_BOARD));
}

/* ------------------------------------------------------------------------
 * The function
 * ------------------------------------------------------------------------ */

/* Refuses to be anything but the trigger that integration_attach() creates. */
static Source
trigger_source(FunctionCallInfo fcinfo)
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
			: source == SOURCE_BOARD ? !insert && (!update || (has_old && has_new))
									 : source == SOURCE_WORKSPACE && !insert && !update &&
										   (!delete || has_old))
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
	Source		 source = trigger_source(fcinfo);
	Capture		*capture = palloc0(sizeof(Capture));

	capture->source = source;
	capture->function = fcinfo->flinfo->fn_oid;
	capture->relation = trigger->tg_relation;
	capture->context = CurrentMemoryContext;
	if (source >= SOURCE_POST)
		capture_changes(capture, trigger);
	else if (source == SOURCE_BOARD)
		capture_board(capture, trigger);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		capture_workspace_delete(capture, trigger);
	else
		capture_workspace_truncate(capture);
	pfree(capture);
	return PointerGetDatum(NULL);
}
