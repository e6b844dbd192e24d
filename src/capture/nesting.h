/*
 * nesting.h
 *		Statements inside of other statements: of their triggers, or of functions that they call.
 *
 * A trigger of the application may pin, vote for or hide a post while the statement that
 * inserts it is not at its end.  That inner statement ends, and is captured, first; what
 * is noted here lets the outer one's events come first all the same, and takes back what
 * the inner one could not know.  Notes last until the outermost statement is at its end.
 */
#ifndef FEATUL_NESTING_H
#define FEATUL_NESTING_H

#include "nodes/pg_list.h"
#include "utils/uuid.h"

#include "application/source.h"
#include "base/text.h"

/* Where a statement that is captured stands. */
typedef struct Nesting
{
	int		  depth;   /* 1: inside no other statement that changes rows */
	CommandId command; /* the statement's own: those inside of it have later ones */
} Nesting;

/* Counts the statements that are running; called from _PG_init. */
extern void nesting_init(void);

/* Of the statement whose trigger is running, before a snapshot of ours is active. */
extern Nesting nesting_now(void);

/*
 * Gives the next id (of the sequence) to an event about a post: one that a statement inside
 * of this one has left free for it, if there is any.  Leaves free ids that
 * come before it for the statements around this one; but for the first that is told of the post,
 * which nothing comes before.
 */
extern int64 nesting_event_id(Nesting nesting, Oid sequence, Text post_id, bool first);

/* Notes that a row was marked as hidden, and had not been before. */
extern void nesting_note_hidden(Nesting nesting, Source source, Text id);

/* Whether any statement has noted that, since the outermost one began; and whether one inside of this. */
extern bool nesting_hidden(Source source, Text id);
extern bool nesting_hidden_inside(Nesting nesting, Source source, Text id);

/* Whether any statement inside of this one may have changed rows, whosever. */
extern bool nesting_changed_inside(Nesting nesting);

/*
 * Whether more may happen inside of the outermost statement after this one, or this part of it,
 * has been captured.
 */
extern bool nesting_goes_on(Nesting nesting);

/* A queue entry */
typedef struct Told
{
	pg_uuid_t integration;
	int64	  id;
} Told;

/*
 * Notes what is told of a post or comment, and whether that is its first visibility, until
 * the outermost statement is at its end.
 */
extern void nesting_note_told(Nesting nesting, Source source, Text id, bool first,
							  Told told);

/*
 * The notes of that about this one: a list of Told *, valid until the next is made; *first:
 * whether its first visibility is among them.
 */
extern List *nesting_told(Source source, Text id, bool *first);

/* Those of them that are of its first visibility, by statements inside of this one; no more from then on. */
extern List *nesting_told_first_inside(Nesting nesting, Source source, Text id);

#endif /* FEATUL_NESTING_H */
