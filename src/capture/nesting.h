/*
 * nesting.h
 *		Statements inside of other statements' triggers.
 *
 * A trigger of the application may pin, vote for or hide a post while the statement that
 * inserts it is not at its end.  That inner statement ends, and is captured, first; what
 * is noted here lets the outer one's events come first all the same, and takes back what
 * the inner one could not know.  Notes last until the end of the transaction.
 */
#ifndef FEATUL_NESTING_H
#define FEATUL_NESTING_H

#include "access/xact.h"

#include "application/source.h"
#include "base/text.h"

/* Where a statement that is captured stands. */
typedef struct Nesting
{
	int		  depth;   /* 1: inside no other statement's trigger */
	CommandId command; /* the statement's own: those inside of it have later ones */
} Nesting;

/* Of the statement whose trigger is running, before a snapshot of ours is active. */
extern Nesting nesting_now(void);

/*
 * Gives the next id (of the sequence) to an event about a post: one that a statement inside
 * of this one has left free for it, if there is any.  Leaves free ids that
 * come before it for the statements around this one.
 */
extern int64 nesting_event_id(Nesting nesting, Oid sequence, Text post_id);

/* Notes that a row was marked as hidden, and had not been before. */
extern void nesting_note_hidden(Nesting nesting, Source source, Text id);

/* Whether a statement inside of this one has noted that. */
extern bool nesting_hidden_inside(Nesting nesting, Source source, Text id);

/* Whether it may have noted that of any row, be it from a trigger of another table's. */
extern bool nesting_hides_inside(Nesting nesting);

#endif /* FEATUL_NESTING_H */
