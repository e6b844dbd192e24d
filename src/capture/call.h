/*
 * call.h
 *		One call of the trigger function, as its parts share it.
 */
#ifndef FEATUL_CALL_H
#define FEATUL_CALL_H

#include "commands/trigger.h"

#include "application/binding.h"

typedef struct Capture
{
	Source			   source;
	Oid				   function; /* the trigger function */
	const TriggerData *trigger;
	BoundRelation	  *bound; /* capture_binding()'s result */
} Capture;

/*
 * The binding for the trigger's table; NULL (and reported or counted) where
 * the table does not fit it any more, or is not bound at all.
 */
extern BoundRelation *capture_binding(Capture *capture);

#endif /* FEATUL_CALL_H */
