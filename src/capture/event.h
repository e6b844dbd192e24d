/*
 * event.h
 *		Which events a changed row can be.
 */
#ifndef FEATUL_EVENT_H
#define FEATUL_EVENT_H

#include "application/row.h"
#include "base/event_kind.h"

/* A changed row of a source that has events. */
typedef struct Change
{
	const Row *old; /* NULL: inserted */
	const Row *new;
	bool quiet;	 /* out: nobody listens to this post's board */
	bool unseen; /* out: a trigger of its own statement has hidden it */
} Change;

/* Columns whose change can be an event (or the end of visibility). */
extern uint32 event_columns_of_interest(Source source);

/* All columns that the events of this source use. */
extern uint32 event_columns(Source source);

/*
 * Whether a change can be an event at all, and whether it makes a row
 * invisible: only columns of interest are looked at.
 */
extern bool event_possible(Source source, const Row *old, const Row *new);
extern bool event_hides(Source source, const Row *old, const Row *new);

/* The events that a change can be, as bits by EventKind. */
extern uint32 events_of_change(Source source, const Row *old, const Row *new);

/* Visible, and not internal. */
extern bool event_comment_is_public(const Row *comment);

/* The highest milestone crossed upwards, or reached; 0: none. */
extern int event_milestone_crossed(const Row *old, const Row *new);
extern int event_milestone_reached(const Row *post);

/* Whether the voter is the post's author: by user, or by an anonymous one's fingerprint. */
extern bool event_is_own_vote(const Row *vote, const Row *post);

/* Likewise whether who reacts is the comment's author: by user, or by a guest's fingerprint. */
extern bool event_is_own_reaction(const Row *reaction, const Row *comment);

#endif /* FEATUL_EVENT_H */
