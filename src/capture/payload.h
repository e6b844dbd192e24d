/*
 * payload.h
 *		The canonical JSON payload of an event.
 */
#ifndef FEATUL_PAYLOAD_H
#define FEATUL_PAYLOAD_H

#include "lib/stringinfo.h"

#include "base/event_kind.h"
#include "base/text.h"

/* A person as the row and the user table know them. */
typedef struct Person
{
	bool known; /* neither missing nor anonymous */
	Text name;
	Text email;
} Person;

/* Everything a payload can show; who may be named is decided by payload_build(). */
typedef struct Payload
{
	EventKind event;
	Text	  workspace_id;
	Text	  workspace_name;
	Text	  workspace_slug;
	bool	  hides_identity;
	Text	  board;
	Text	  post_id;
	Text	  title;
	Text	  content;
	Text	  slug;
	int64	  upvotes;
	Text	  status;
	Person	  author;
	Text	  post_created_at;
	Text	  image;
	Text	  from_status;
	int		  milestone;
	Text	  comment_id;
	Text	  comment_content;
	Person	  commenter;
	Text	  role;
	Text	  comment_created_at;
	Person	  other; /* voter, mentioned or reactor */
	Text	  reaction;
} Payload;

/*
 * Appends the payload: JSON in the database encoding, at most
 * TEXT_MAX_BYTES as UTF-8.  Cuts texts in *payload to make it fit.
 */
extern void payload_build(StringInfo out, Payload *payload);

/* {"event": "integration.test", "workspace": {...}, "message": ...}, palloc'd */
extern char *payload_test(const char *workspace_id, const char *name, const char *slug);

/*
 * A sample payload of an event for a workspace (palloc'd): what
 * integration_preview() shows when there is no data, and what a rule is
 * checked against.
 */
extern char *payload_sample(EventKind event, const char *workspace_id, const char *name,
							const char *slug);

#endif /* FEATUL_PAYLOAD_H */
