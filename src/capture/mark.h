/*
 * mark.h
 *		Marks for what may happen only once: a post or comment that became visible,
 *		and a post's milestones.  All need the extension's rights.
 */
#ifndef FEATUL_MARK_H
#define FEATUL_MARK_H

#include "capture/new_event.h"

/*
 * Marks rows as having been visible.  Brings those that were not marked so before to the
 * front; how many they are.
 */
extern int mark_hidden(Source source, Text *ids, int count);

/*
 * Takes that back for rows that were visible only until something inside of the statement that
 * made them so has hidden them.
 */
extern void mark_unseen(Source source, const Text *ids, int count);

/* Which of these rows were marked so before. */
extern void marks_hidden(Source source, const Text *ids, int count, bool *marked);

/*
 * Marks milestones as announced, and returns the events (a list of NewEvent *)
 * without those whose milestone had been announced before.
 */
extern List *mark_milestones(List *events);

#endif /* FEATUL_MARK_H */
