/*
 * transition.h
 *		Going through the transition tables of a statement, row by row; or the one row
 *		that a row trigger is called for.
 */
#ifndef FEATUL_TRANSITION_H
#define FEATUL_TRANSITION_H

#include "commands/trigger.h"
#include "utils/tuplestore.h"

#include "application/binding.h"

typedef struct Transition
{
	Source			 source;
	BoundRelation	*bound;
	MemoryContext	 context;  /* for the call */
	Tuplestorestate *old_rows; /* both NULL: one row, which the slots hold */
	Tuplestorestate *new_rows;
	TupleTableSlot	*old_slot; /* NULL: an INSERT */
	TupleTableSlot	*new_slot; /* NULL: a DELETE */
	bool			 by_id;	   /* rows do not pair up by position */
	bool			 done;
	uint64			 n_rows; /* that the slots have held */

	/* attributes whose change is of interest; none: all are */
	int			n_attributes;
	AttrNumber *attributes;
} Transition;

/* Gets ready; bound is how the trigger's table is read. */
extern void transition_open(Transition *transition, Source source, BoundRelation *bound,
							const TriggerData *trigger);
extern void transition_close(Transition *transition);

/* The new rows there are. */
extern int64 transition_count(const Transition *transition);

/*
 * Makes the UPDATE of a row out of its INSERT: this row was deleted right before.  False,
 * and nothing happens, if it had another id (or an id that is no plain column).
 */
extern bool transition_pair(Transition *transition, TupleTableSlot *deleted);

/*
 * Goes on to the next rows that may matter (those of an INSERT or UPDATE), or to
 * the next old row; false, and ->done, at the end.
 */
extern bool transition_advance(Transition *transition);
extern bool transition_next_old(Transition *transition);

/*
 * The board of the post in the new slot, where it is a plain column; false if it
 * is NULL or is none.
 */
extern bool transition_board_key(Transition *transition, Datum *key,
								 Form_pg_attribute *form);

#endif /* FEATUL_TRANSITION_H */
