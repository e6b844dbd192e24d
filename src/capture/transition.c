/*
 * transition.c
 *		Going through the transition tables of a statement, or a single row.
 *
 * What can be decided from the rows and from memory is decided here, row by row,
 * without a query, a change of rights or a subtransaction.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "capture/event.h"
#include "capture/subscription.h"
#include "capture/transition.h"

/* Reads the next tuple; one that comes from a file lives until the next is read. */
static bool
next_slot(Transition *transition, Tuplestorestate *rows, TupleTableSlot *slot)
{
	MemoryContext caller = MemoryContextSwitchTo(transition->context);
	bool		  found = tuplestore_gettupleslot(rows, true, false, slot);

	MemoryContextSwitchTo(caller);
	return found;
}

/* True if this attribute differs between two rows of a relation. */
static bool
attribute_differs(TupleTableSlot *a, TupleTableSlot *b, AttrNumber attribute)
{
	Form_pg_attribute form = TupleDescAttr(b->tts_tupleDescriptor, attribute - 1);
	bool			  old_null;
	bool			  new_null;
	Datum			  old = slot_getattr(a, attribute, &old_null);
	Datum new = slot_getattr(b, attribute, &new_null);

	if (old_null || new_null)
		return old_null != new_null;
	return !datum_image_eq(old, new, form->attbyval, form->attlen);
}

/* True if this attribute differs between the old and the new row. */
static bool
attribute_changed(Transition *transition, AttrNumber attribute)
{
	return attribute_differs(transition->old_slot, transition->new_slot, attribute);
}

/*
 * Puts the next old and new row into the slots.  They pair up by position;
 * only when a row that moved between partitions was refused on its way there
 * are there old rows without a new one, which are skipped.
 */
static bool
next_rows(Transition *transition)
{
	if (transition->new_rows == NULL)
		return transition->n_rows++ == 0;
	if (!next_slot(transition, transition->new_rows, transition->new_slot))
		return false;
	transition->n_rows++;
	if (transition->old_rows == NULL)
		return true;
	do
	{
		if (!next_slot(transition, transition->old_rows, transition->old_slot))
			return false;
	} while (transition->by_id &&
			 attribute_changed(transition, transition->bound->column[0].attribute));
	return true;
}

/* See transition.h. */
bool
transition_board_key(Transition *transition, Datum *key, Form_pg_attribute *form)
{
	AttrNumber attribute = transition->bound->column[POST_BOARD_ID].attribute;
	bool	   isnull;

	if (attribute == 0)
		return false;
	*key = slot_getattr(transition->new_slot, attribute, &isnull);
	*form = TupleDescAttr(transition->new_slot->tts_tupleDescriptor, attribute - 1);
	return !isnull;
}

/* True unless it is known from memory that the rows in the slots are no event. */
static bool
may_matter(Transition *transition)
{
	Datum			  key;
	Form_pg_attribute form;

	if (transition->old_slot == NULL)
		return transition->source != SOURCE_POST ||
			   !transition_board_key(transition, &key, &form) ||
			   !quiet_board_known(key, form->attbyval, form->attlen);
	if (transition->n_attributes == 0)
		return true;
	for (int i = 0; i < transition->n_attributes; i++)
		if (attribute_changed(transition, transition->attributes[i]))
			return true;
	return false;
}

/* See transition.h. */
bool
transition_advance(Transition *transition)
{
	while (next_rows(transition))
		if (may_matter(transition))
			return true;
	transition->done = true;
	return false;
}

/* The attributes that the columns of interest look at. */
static void
find_attributes_of_interest(Transition *transition)
{
	uint32	   columns = event_columns_of_interest(transition->source);
	Bitmapset *all = NULL;
	int		   member = -1;

	for (int i = 0; i < MAX_COLUMNS; i++)
		if (columns & COLUMN_BIT(i))
			all = bms_add_members(all, transition->bound->column[i].attributes);
	transition->attributes = palloc(bms_num_members(all) * sizeof(AttrNumber));
	while ((member = bms_next_member(all, member)) >= 0)
	{
		AttrNumber attribute = member + FirstLowInvalidHeapAttributeNumber;

		if (attribute == InvalidAttrNumber) /* the whole row */
		{
			transition->n_attributes = 0;
			break;
		}
		transition->attributes[transition->n_attributes++] = attribute;
	}
	bms_free(all);
}

/* Gets ready to go through one of the tables; its slot. */
static TupleTableSlot *
open_rows(Tuplestorestate *rows, Relation relation)
{
	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
	return MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
}

/* Gets ready to go through the tables of a statement trigger. */
static void
open_tables(Transition *transition, const TriggerData *trigger)
{
	if (trigger->tg_newtable)
	{
		transition->new_rows = trigger->tg_newtable;
		transition->new_slot = open_rows(transition->new_rows, trigger->tg_relation);
	}
	if (trigger->tg_oldtable)
	{
		transition->old_rows = trigger->tg_oldtable;
		transition->old_slot = open_rows(transition->old_rows, trigger->tg_relation);
	}
	transition->by_id = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
						transition->bound->column[0].attribute > 0 &&
						tuplestore_tuple_count(transition->old_rows) !=
							tuplestore_tuple_count(transition->new_rows);
}

/* The row of a row trigger. */
static void
open_row(Transition *transition, const TriggerData *trigger)
{
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		transition->old_slot = trigger->tg_trigslot;
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		transition->new_slot = trigger->tg_trigslot;
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		transition->new_slot = trigger->tg_newslot;
}

/* See transition.h. */
void
transition_open(Transition *transition, Source source, BoundRelation *bound,
				const TriggerData *trigger)
{
	memset(transition, 0, sizeof(Transition));
	transition->source = source;
	transition->bound = bound;
	transition->context = CurrentMemoryContext;
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		open_row(transition, trigger);
	else
		open_tables(transition, trigger);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		find_attributes_of_interest(transition);
}

/* See transition.h. */
int64
transition_count(const Transition *transition)
{
	return transition->new_rows ? tuplestore_tuple_count(transition->new_rows) : 1;
}

/* See transition.h. */
bool
transition_pair(Transition *transition, TupleTableSlot *deleted)
{
	AttrNumber id = transition->bound->column[0].attribute;

	if (id <= 0 || attribute_differs(deleted, transition->new_slot, id))
		return false;
	transition->old_slot = deleted;
	find_attributes_of_interest(transition);
	return true;
}

/* See transition.h. */
bool
transition_next_old(Transition *transition)
{
	if (next_slot(transition, transition->old_rows, transition->old_slot))
		return true;
	transition->done = true;
	return false;
}

/* See transition.h. */
void
transition_close(Transition *transition)
{
	if (transition->new_rows)
		ExecDropSingleTupleTableSlot(transition->new_slot);
	if (transition->old_rows)
		ExecDropSingleTupleTableSlot(transition->old_slot);
}
