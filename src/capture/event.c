/*
 * event.c
 *		Which events a changed row can be: the conditions that look at that row
 *		alone.  What stands around it is candidate.c's.
 */
#include "postgres.h"

#include "capture/event.h"

static const int milestones[] = { 10, 50, 100 };

/* See event.h. */
uint32
event_columns_of_interest(Source source)
{
	switch (source)
	{
		case SOURCE_POST:
			return COLUMN_BIT(POST_VISIBLE) | COLUMN_BIT(POST_STATUS) |
				   COLUMN_BIT(POST_UPVOTES) | COLUMN_BIT(POST_IS_PINNED) |
				   COLUMN_BIT(POST_IS_FEATURED) | COLUMN_BIT(POST_IS_LOCKED);
		case SOURCE_WORKSPACE:
			return COLUMN_BIT(WORKSPACE_ID);
		case SOURCE_BOARD:
			return COLUMN_BIT(BOARD_ID) | COLUMN_BIT(BOARD_WORKSPACE_ID);
		case SOURCE_COMMENT:
			return COLUMN_BIT(COMMENT_VISIBLE) | COLUMN_BIT(COMMENT_IS_INTERNAL);
		case SOURCE_REACTION:
			return COLUMN_BIT(REACTION_TYPE);
		default:
			return 0;
	}
}

/* See event.h. */
uint32
event_columns(Source source)
{
	uint32 all = ~(uint32) 0;

	switch (source)
	{
		case SOURCE_POST:
			return all & ~COLUMN_BIT(POST_FINGERPRINT);
		case SOURCE_COMMENT:
			return all & ~COLUMN_BIT(COMMENT_FINGERPRINT);
		default:
			return all;
	}
}

/* See event.h. */
bool
event_comment_is_public(const Row *comment)
{
	return row_flag(comment, COMMENT_VISIBLE) && !row_flag(comment, COMMENT_IS_INTERNAL);
}

/* See event.h. */
int
event_milestone_crossed(const Row *old, const Row *new)
{
	int64 from = old ? row_number(old, POST_UPVOTES) : 0;
	int64 to = row_number(new, POST_UPVOTES);
	int	  crossed = 0;

	for (int i = 0; i < lengthof(milestones); i++)
		if (from < milestones[i] && milestones[i] <= to)
			crossed = milestones[i];
	return crossed;
}

/* From false or NULL to true. */
static bool
flag_raised(const Row *old, const Row *new, int column)
{
	return !row_flag(old, column) && row_flag(new, column);
}

/* The events of a change of a post, as bits by EventKind. */
static uint32
post_events(const Row *old, const Row *new)
{
	uint32 events = 0;

	if (!row_flag(new, POST_VISIBLE))
		return 0;
	if (old == NULL || !row_flag(old, POST_VISIBLE))
		return 1 << EVENT_POST_CREATED;
	if (!text_same(row_text(old, POST_STATUS), row_text(new, POST_STATUS)))
		events |= 1 << EVENT_POST_STATUS_CHANGED;
	if (flag_raised(old, new, POST_IS_PINNED))
		events |= 1 << EVENT_POST_PINNED;
	if (flag_raised(old, new, POST_IS_FEATURED))
		events |= 1 << EVENT_POST_FEATURED;
	if (flag_raised(old, new, POST_IS_LOCKED))
		events |= 1 << EVENT_POST_LOCKED;
	if (event_milestone_crossed(old, new) > 0)
		events |= 1 << EVENT_POST_MILESTONE;
	return events;
}

/* See event.h. */
uint32
events_of_change(Source source, const Row *old, const Row *new)
{
	switch (source)
	{
		case SOURCE_POST:
			return post_events(old, new);
		case SOURCE_COMMENT:
			return event_comment_is_public(new) &&
						   (old == NULL || !event_comment_is_public(old))
					   ? 1 << EVENT_COMMENT_CREATED
					   : 0;
		case SOURCE_VOTE:
			return 1 << EVENT_POST_UPVOTED;
		case SOURCE_MENTION:
			return 1 << EVENT_COMMENT_MENTION;
		case SOURCE_REACTION:
			return old == NULL || !text_same(row_text(old, REACTION_TYPE),
											 row_text(new, REACTION_TYPE))
					   ? 1 << EVENT_COMMENT_REACTION
					   : 0;
		default:
			return 0;
	}
}

/* See event.h. */
bool
event_possible(Source source, const Row *old, const Row *new)
{
	return events_of_change(source, old, new) != 0;
}

/* See event.h. */
bool
event_hides(Source source, const Row *old, const Row *new)
{
	if (old == NULL)
		return false;
	if (source == SOURCE_POST)
		return row_flag(old, POST_VISIBLE) && !row_flag(new, POST_VISIBLE);
	if (source == SOURCE_COMMENT)
		return event_comment_is_public(old) && !event_comment_is_public(new);
	return false;
}

/* See event.h. */
bool
event_is_own_vote(const Row *vote, const Row *post)
{
	if (text_equal(row_text(vote, VOTE_USER_ID), row_text(post, POST_AUTHOR_ID)))
		return true;
	return (post->value[POST_AUTHOR_ID].isnull || row_flag(post, POST_IS_ANONYMOUS)) &&
		   text_equal(row_text(vote, VOTE_FINGERPRINT), row_text(post, POST_FINGERPRINT));
}

/* See event.h. */
bool
event_is_own_reaction(const Row *reaction, const Row *comment)
{
	Text author = row_text(comment, COMMENT_AUTHOR_ID);

	if (text_equal(row_text(reaction, REACTION_USER_ID), author))
		return true;
	return (author.data == NULL || row_flag(comment, COMMENT_IS_ANONYMOUS)) &&
		   text_equal(row_text(reaction, REACTION_FINGERPRINT),
					  row_text(comment, COMMENT_FINGERPRINT));
}

/* See event.h. */
int
event_milestone_reached(const Row *post)
{
	return event_milestone_crossed(NULL, post);
}
