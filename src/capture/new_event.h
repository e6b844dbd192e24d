/*
 * new_event.h
 *		From changed rows to events that somebody wants.
 */
#ifndef FEATUL_NEW_EVENT_H
#define FEATUL_NEW_EVENT_H

#include "nodes/pg_list.h"
#include "utils/uuid.h"

#include "capture/event.h"
#include "capture/nesting.h"

/* An integration that an event goes to. */
typedef struct Recipient
{
	pg_uuid_t id;
	bool	  is_chat;
	int		  wait_ms; /* before the first attempt */
} Recipient;

/* An event that at least one integration wants. */
typedef struct NewEvent
{
	EventKind  kind;
	Text	   workspace_id;
	Text	   post_id;
	Text	   comment_id; /* NULL: not about a comment */
	int		   milestone;  /* post.milestone: to be announced only once */
	text	  *payload;	   /* JSON, and a NUL after it */
	char	  *labels;	   /* JSON or NULL */
	int		   n_recipients;
	Recipient *recipients;
} NewEvent;

/*
 * The events of these changes that somebody wants: a list of NewEvent *, in the
 * order in which they happened.  nesting: where their statement stands; touched: triggers may have changed the rows since; what
 * became visible counts as it is now.  Needs the extension's rights; raises what the
 * look-ups raise.
 */
extern List *new_events(Source source, Change *changes, int count, Nesting nesting,
						bool touched);

#endif /* FEATUL_NEW_EVENT_H */
