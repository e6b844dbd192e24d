/*
 * event_kind.h
 *		The catalogue of events: one entry each.
 *
 * An event is an entry here, its condition in capture/event.c, and its words and
 * colour in the channels, in arrays by kind.
 */
#ifndef FEATUL_EVENT_KIND_H
#define FEATUL_EVENT_KIND_H

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

typedef struct EventDefinition
{
	const char *name;	/* post.created */
	const char *source; /* whose rows make it happen, as binding.source has it */
	const char
		*column; /* the canonical column of that source without which it does not occur */
	bool merges; /* several about one post, one after another, may be one chat message */
	const char *label;		 /* for the filter of a settings page */
	const char *description; /* likewise: one sentence */
} EventDefinition;

/* One for each kind: event_kind.c asserts that none is missing. */
extern const EventDefinition event_definitions[];

/* What integration_test() sends calls itself; it is none of them. */
#define EVENT_TEST_NAME "integration.test"

/* EVENT_COUNT if there is no such event */
extern EventKind event_kind(const char *name);

#endif /* FEATUL_EVENT_KIND_H */
