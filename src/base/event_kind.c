/*
 * event_kind.c
 *		The catalogue of events.
 */
#include "postgres.h"

#include "base/event_kind.h"

/* docs/architecture.md and README.md tell when each happens. */
const EventDefinition event_definitions[] = {
	[EVENT_POST_CREATED] = { "post.created", "post", "id", false, "New posts",
							 "A post becomes visible for the first time." },
	[EVENT_POST_STATUS_CHANGED] = { "post.status_changed", "post", "status", false,
									"Status changes", "A post moves along the roadmap." },
	[EVENT_POST_PINNED] = { "post.pinned", "post", "is_pinned", false, "Pinned posts",
							"A post is pinned." },
	[EVENT_POST_FEATURED] = { "post.featured", "post", "is_featured", false,
							  "Featured posts", "A post is featured." },
	[EVENT_POST_LOCKED] = { "post.locked", "post", "is_locked", false, "Locked posts",
							"A post is locked." },
	[EVENT_POST_UPVOTED] = { "post.upvoted", "vote", "post_id", true, "Upvotes",
							 "Someone other than its author votes for a post." },
	[EVENT_POST_MILESTONE] = { "post.milestone", "post", "upvotes", false, "Milestones",
							   "A post reaches 10, 50 or 100 upvotes." },
	[EVENT_COMMENT_CREATED] = { "comment.created", "comment", "post_id", false,
								"New comments",
								"A public comment becomes visible for the first time." },
	[EVENT_COMMENT_MENTION] = { "comment.mention", "mention", "comment_id", false,
								"Mentions", "A public comment mentions someone." },
	[EVENT_COMMENT_REACTION] = { "comment.reaction", "reaction", "comment_id", true,
								 "Reactions", "Someone reacts to a public comment." },
};

StaticAssertDecl(lengthof(event_definitions) == EVENT_COUNT, "an event has no entry");

/* See event_kind.h. */
EventKind
event_kind(const char *name)
{
	EventKind kind;

	for (kind = 0; kind < EVENT_COUNT; kind++)
		if (strcmp(event_definitions[kind].name, name) == 0)
			break;
	return kind;
}
