/*
 * event.h
 *		What happened: from changed rows to events with their payloads.
 *
 * Reads the application's tables around the rows, and writes nothing.
 */
#ifndef FEATUL_EVENT_H
#define FEATUL_EVENT_H

#include "nodes/pg_list.h"
#include "utils/uuid.h"

#include "capture/payload.h"
#include "application/row.h"

/* A changed row of a source that has events. */
typedef struct Change
{
	const Row *old; /* NULL: inserted */
	const Row *new;
	bool quiet; /* out: nobody listens to this post's board */
} Change;

/* An event that at least one integration wants. */
typedef struct Record
{
	EventKind  event;
	Text	   workspace_id;
	Text	   post_id;
	int		   milestone; /* post.milestone: to be announced only once */
	text	  *payload;	  /* JSON, and a NUL after it */
	char	  *context;	  /* JSON or NULL */
	int		   n_integrations;
	pg_uuid_t *integrations;
} Record;

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

/*
 * The events of these changes that somebody wants: a list of Record *, in the
 * order in which they happened.  Needs the owner's rights; raises what
 * the look-ups raise.
 */
extern List *events_of(Source source, Change *changes, int count);

/*
 * The payload (and context, or NULL) that the workspace's latest row matching
 * this event would give now; false if there is none.  Both palloc'd.  Needs
 * the owner's rights and an active snapshot.
 */
extern bool event_latest(const char *event, const char *workspace_id, char **payload,
						 char **context);

#endif /* FEATUL_EVENT_H */
