/*
 * batch.c
 *		The changed rows of a statement, some hundred at a time.
 *
 * A batch has two steps:
 *
 *  - finding out what happened, which only reads, inside a subtransaction: an
 *    error (a row that an expression cannot digest, a table that has changed)
 *    becomes a WARNING and is counted, and the application's statement goes on;
 *  - writing, outside of it: the application's transaction gets no additional
 *    subtransaction ids, and what fails here (a full disk) fails for all.
 */
#include "postgres.h"

#include "utils/datum.h"
#include "utils/memutils.h"

#include "application/row.h"
#include "application/user_context.h"
#include "base/compat.h"
#include "base/subtransaction.h"
#include "capture/batch.h"
#include "capture/failure.h"
#include "capture/mark.h"
#include "capture/new_event.h"
#include "capture/record.h"
#include "capture/retract.h"
#include "capture/subscription.h"
#include "process/stats.h"
#include "process/wakeup.h"

/* Bounds of a batch; its memory is freed before the next. */
#define BATCH_ROWS 500
#define BATCH_BYTES (4 * 1024 * 1024)

typedef struct Batch
{
	Transition	 *rows;
	Source		  source;
	Oid			  function;	 /* the trigger function */
	bool		  announces; /* else only marks */
	bool		  touched;	 /* the rows may have been changed since */
	bool		  goes_on;	 /* they may be changed later in this statement */
	Nesting		  nesting;
	bool		  at_row;  /* the slots hold rows that are yet to be read */
	MemoryContext context; /* for the call */
	MemoryContext memory;  /* for the batch */
	RowReader	 *reader;

	int		room;	 /* rows that it takes */
	bool	is_read; /* as far as it goes */
	int		n_changes;
	Change *changes; /* up to that many of each */
	Datum  *board_keys;
	int		n_hidden;
	Text   *hidden;
	int		first; /* what compute_events() is to do */
	int		count;
	List   *found; /* its result, added up: NewEvents */

	Recorder *recorder; /* NULL until something is written */
} Batch;

/*
 * What a batch needs, for all batches of the call.  There are so many rows, and room
 * for one more: a batch that does not get full meets the end.
 */
static void
open_batch(Batch *batch, int64 rows)
{
	batch->reader = row_reader(batch->rows->bound);
	batch->room = Min(rows + 1, BATCH_ROWS);
	batch->changes = palloc(batch->room * sizeof(Change));
	batch->board_keys = palloc(batch->room * sizeof(Datum));
	batch->hidden = palloc(batch->room * sizeof(Text));
	batch->memory = batch->context;
	if (rows > 1) /* one is gone with the call */
		batch->memory = AllocSetContextCreate(batch->context, "featul_integrations batch",
											  ALLOCSET_DEFAULT_SIZES);
}

/* Frees what the batch has left. */
static void
reset_batch(Batch *batch)
{
	if (batch->memory != batch->context)
		MemoryContextReset(batch->memory);
}

/* Notes that the row in the new slot was visible. */
static void
add_hidden(Batch *batch)
{
	Row *row = row_read(batch->reader, batch->rows->new_slot, COLUMN_BIT(0));

	if (!row->value[0].isnull)
		batch->hidden[batch->n_hidden++] = row->value[0].text;
}

/* Reads the rows in the slots; keeps them if they are an event. */
static void
read_change(Batch *batch)
{
	uint32			  interest = event_columns_of_interest(batch->source);
	uint32			  all = event_columns(batch->source);
	Change			  change = { 0 };
	Datum			  key = (Datum) 0;
	Form_pg_attribute form;

	if (batch->rows->old_slot)
	{
		change.old = row_read(batch->reader, batch->rows->old_slot, interest);
		change.new = row_read(batch->reader, batch->rows->new_slot, interest);
		if (event_hides(batch->source, change.old, change.new))
			add_hidden(batch);
		if (!batch->announces || !event_possible(batch->source, change.old, change.new))
			return;
	}
	change.new = row_read(batch->reader, batch->rows->new_slot, all);
	if (!event_possible(batch->source, change.old, change.new))
		return;
	if (batch->source == SOURCE_POST && transition_board_key(batch->rows, &key, &form))
		key = datumCopy(key, form->attbyval, form->attlen);
	batch->board_keys[batch->n_changes] = key;
	batch->changes[batch->n_changes++] = change;
}

/* Step: reads rows, one at least, until the batch is full or there are no more. */
static void
read_batch(void *argument)
{
	Batch		 *batch = argument;
	MemoryContext caller = MemoryContextSwitchTo(batch->memory);

	while (batch->n_changes < batch->room && batch->n_hidden < batch->room)
	{
		if (!batch->at_row && !transition_advance(batch->rows))
			break;
		batch->at_row = false;
		read_change(batch);
		if (MemoryContextMemAllocated(batch->memory, true) >= BATCH_BYTES)
			break;
	}
	batch->is_read = true;
	MemoryContextSwitchTo(caller);
}

/* Step: finds the events among some of the batch's changes. */
static void
compute_events(void *argument)
{
	Batch		 *batch = argument;
	MemoryContext caller = MemoryContextSwitchTo(batch->memory);
	List *events = new_events(batch->source, batch->changes + batch->first, batch->count,
							  batch->nesting, batch->touched);

	batch->found = list_concat(batch->found, events);
	MemoryContextSwitchTo(caller);
}

/* Remembers the boards that nobody listens to. */
static void
remember_quiet_boards(Batch *batch, uint64 clock)
{
	AttrNumber		  attribute = batch->rows->bound->column[POST_BOARD_ID].attribute;
	Form_pg_attribute form;

	if (batch->source != SOURCE_POST || attribute == 0)
		return;
	form = TupleDescAttr(batch->rows->new_slot->tts_tupleDescriptor, attribute - 1);
	for (int i = 0; i < batch->n_changes; i++)
		if (batch->changes[i].quiet)
			quiet_board_remember(batch->board_keys[i], form->attbyval, form->attlen,
								 clock);
}

/* Step: both, for a whole batch. */
static void
read_and_compute(void *argument)
{
	Batch *batch = argument;

	read_batch(batch);
	batch->first = 0;
	batch->count = batch->n_changes;
	if (batch->count > 0)
		compute_events(batch);
}

/*
 * Runs a step.  False if it failed: that has been reported, unless the batch was
 * read but failed as a whole, and is tried again: each row speaks for itself.
 */
static bool
attempt(Batch *batch, SubtransactionStep step)
{
	ErrorData *error = subtransaction_run(step, batch);

	if (error == NULL)
		return true;
	if (!batch->is_read || batch->count <= 1)
		failure_report(batch->source, error);
	FreeErrorData(error);
	return false;
}

/*
 * After a failure: reads on behind the row that cannot be read, and finds the
 * events row by row, so that each failure costs one row.
 */
static void
process_row_by_row(Batch *batch)
{
	bool computed = batch->is_read;

	while (!batch->is_read)
	{
		uint64 rows = batch->rows->n_rows;

		batch->reader =
			row_reader(batch->rows->bound); /* an expression was interrupted */
		if (!attempt(batch, read_batch) && batch->rows->n_rows == rows)
		{
			batch->rows->done = true; /* not a row's fault */
			break;
		}
	}
	if (computed && batch->n_changes == 1)
		return;
	batch->count = 1;
	for (batch->first = 0; batch->first < batch->n_changes; batch->first++)
		(void) attempt(batch, compute_events);
}

/*
 * Marks what the statement has hidden.  What another one around it has told as visible for the
 * first time is taken back if it has been captured by now; if not, it will want to know.
 */
static void
mark_rows(Batch *batch)
{
	int n_new = mark_hidden(batch->source, batch->hidden, batch->n_hidden);
	int count = 0;

	retract_first(batch->nesting, batch->source, batch->hidden, n_new);
	if (batch->nesting.depth <= 1)
		return;
	for (int i = 0; i < n_new; i++)
		nesting_note_hidden(batch->nesting, batch->source, batch->hidden[i]);
	/* one that was marked before the outermost statement began had been seen by then */
	for (int i = 0; i < batch->n_hidden; i++)
		if (nesting_hidden(batch->source, batch->hidden[i]))
			batch->hidden[count++] = batch->hidden[i];
	count = retract_announced(batch->source, batch->hidden, count);
	if (count > 0)
		mark_unseen(batch->source, batch->hidden, count);
}

/*
 * Takes back what statements inside of this one have told of rows that they, or it, made visible
 * and that cannot be seen at its end, and the mark that they have been visible.
 */
static void
take_back_unseen(Batch *batch)
{
	Text *ids = palloc(Max(batch->n_changes, 1) * sizeof(Text));
	int	  count = 0;
	int	  n_marked = 0;

	for (int i = 0; i < batch->n_changes; i++)
		if (batch->changes[i].unseen)
			ids[count++] = row_text(batch->changes[i].new, 0);
	if (count == 0)
		return;
	retract_all(batch->source, ids, count);
	for (int i = 0; i < count; i++)
		if (nesting_hidden_inside(batch->nesting, batch->source, ids[i]))
			ids[n_marked++] = ids[i];
	if (n_marked > 0)
		mark_unseen(batch->source, ids, n_marked);
}

/* Writes the batch's events; raises what an INSERT raises. */
static void
write_events(Batch *batch)
{
	ListCell	 *cell;
	MemoryContext caller;

	batch->found = mark_milestones(batch->found);
	if (batch->found == NIL)
		return;
	if (batch->recorder == NULL)
	{
		caller = MemoryContextSwitchTo(batch->context);
		batch->recorder = recorder_open(batch->function, batch->nesting, batch->goes_on);
		MemoryContextSwitchTo(caller);
	}
	foreach (cell, batch->found)
		recorder_write(batch->recorder, lfirst(cell));
	recorder_flush(batch->recorder);
	stats_count_captured(list_length(batch->found));
	wakeup_workers_at_commit();
}

/* Reads, finds out and writes one batch. */
static void
process_batch(Batch *batch)
{
	MemoryContext caller;
	uint64		  clock = subscriptions_clock();

	batch->n_changes = 0;
	batch->n_hidden = 0;
	batch->found = NIL;
	batch->is_read = false;
	if (!attempt(batch, read_and_compute))
		process_row_by_row(batch);
	remember_quiet_boards(batch, clock);

	caller = MemoryContextSwitchTo(batch->memory);
	if (batch->n_hidden > 0)
		mark_rows(batch);
	if (batch->touched)
		take_back_unseen(batch);
	if (batch->found)
		write_events(batch);
	MemoryContextSwitchTo(caller);
	reset_batch(batch);
}

/* See batch.h. */
void
batch_process_rows(Transition *transition, Oid function, bool announces,
				   OtherTriggers others)
{
	Batch		batch = { .rows = transition,
						  .source = transition->source,
						  .function = function,
						  .announces = announces,
						  .nesting = nesting_now(),
						  .context = transition->context,
						  .at_row = true };
	UserContext caller;

	batch.touched = others.any || nesting_changed_inside(batch.nesting);
	batch.goes_on = others.later || nesting_goes_on(batch.nesting);
	user_context_as_extension(&caller);
	open_batch(&batch, transition_count(transition));
	while (!transition->done)
		process_batch(&batch);
	if (batch.recorder)
		recorder_close(batch.recorder);
	user_context_restore(&caller);
}
