/*
 * batch.h
 *		The changed rows of a statement, some hundred at a time: to events, marks
 *		and queue entries.
 */
#ifndef FEATUL_BATCH_H
#define FEATUL_BATCH_H

#include "capture/transition.h"

/* Triggers of others that the statement fires. */
typedef struct OtherTriggers
{
	bool any;	/* they may have changed its rows since it wrote them */
	bool later; /* they may do so when it has been captured */
} OtherTriggers;

/*
 * Works off the rows from the one in the slots on.  function is the trigger
 * function; announces: else only marks are written.  Faults of the data are
 * reported (failure.h); raises what an INSERT raises.
 */
extern void batch_process_rows(Transition *transition, Oid function, bool announces,
							   OtherTriggers others);

#endif /* FEATUL_BATCH_H */
