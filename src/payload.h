/*
 * payload.h
 *		The canonical JSON payload of an event.
 */
#ifndef FEATUL_PAYLOAD_H
#define FEATUL_PAYLOAD_H

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

/* Body limit of a webhook, bytes of UTF-8 (design 5). */
#define PAYLOAD_MAX_BYTES 65536

/* The ten events, in the contract's order. */
typedef enum EventKind
{
	EVENT_POST_CREATED,
	EVENT_POST_STATUS_CHANGED,
	EVENT_POST_PINNED,
	EVENT_POST_FEATURED,
	EVENT_POST_LOCKED,
	EVENT_POST_UPVOTED,
	EVENT_POST_MILESTONE,
	EVENT_COMMENT_CREATED,
	EVENT_COMMENT_MENTION,
	EVENT_COMMENT_REACTION,
	EVENT_COUNT
} EventKind;

/* Their names, by EventKind; NULL-terminated. */
extern const char *const payload_event_names[];

/* EVENT_COUNT if there is no such event */
extern EventKind payload_event_kind(const char *name);

extern bool payload_event_known(const char *name);

/* A text: bytes in the database encoding, not NUL-terminated. */
typedef struct Text
{
	const char *data; /* NULL: SQL NULL */
	int			length;
	bool		cut; /* shorter than the original */
} Text;

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
	const char *event;
	Text		workspace_id;
	Text		workspace_name;
	Text		workspace_slug;
	bool		hides_identity;
	Text		board;
	Text		post_id;
	Text		title;
	Text		content;
	Text		slug;
	int64		upvotes;
	Text		status;
	Person		author;
	Text		post_created_at;
	Text		from_status;
	int			milestone;
	Text		comment_id;
	Text		comment_content;
	Person		commenter;
	Text		role;
	Text		comment_created_at;
	Person		other; /* voter, mentioned or reactor */
	Text		reaction;
} Payload;

/* A text from a C string, which it points to; NULL is SQL NULL. */
extern Text text_of(const char *string);

/*
 * A text from a text datum: at most PAYLOAD_MAX_BYTES of it, copied to the
 * current memory context.  A longer one is never detoasted as a whole.
 */
extern Text text_of_datum(Datum datum);

/*
 * ISO 8601 in UTC, to the second, as the contract wants it; NULL where the
 * timestamp is infinite.  Palloc'd.
 */
extern Text text_of_timestamp(TimestampTz timestamp);

/*
 * Appends the payload: JSON in the database encoding, at most
 * PAYLOAD_MAX_BYTES as UTF-8.  Cuts texts in *payload to make it fit.
 */
extern void payload_build(StringInfo out, Payload *payload);

/* {"event": "integration.test", "workspace": {...}, "message": ...}, palloc'd */
extern char *payload_test(const char *workspace_id, const char *name, const char *slug);

/*
 * A sample payload of an event for a workspace (palloc'd): what
 * integration_preview() shows when there is no data, and what a rule is
 * checked against.
 */
extern char *payload_sample(const char *event, const char *workspace_id, const char *name,
							const char *slug);

#endif /* FEATUL_PAYLOAD_H */
