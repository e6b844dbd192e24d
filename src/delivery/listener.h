/*
 * listener.h
 *		Telling those who listen that the log has something new.
 */
#ifndef FEATUL_LISTENER_H
#define FEATUL_LISTENER_H

#include "nodes/pg_list.h"

/*
 * Tells of a list of settlements that have been recorded: a notification for each
 * workspace among them, if anybody listens.  A transaction of its own; an error in
 * it is nobody's, and the current context stays.
 */
extern void listener_tell(List *settlements);

#endif /* FEATUL_LISTENER_H */
