/*
 * transition.h
 *		Going through the transition tables of a statement, row by row.
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
	Tuplestorestate *old_rows; /* NULL: an INSERT */
	Tuplestorestate *new_rows; /* NULL: a DELETE */
	TupleTableSlot	*old_slot;
	TupleTableSlot	*new_slot;
	bool			 by_id; /* rows do not pair up by position */
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
