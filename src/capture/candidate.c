/*
 * candidate.c
 *		Events that may have happened, joined with what stands around them.
 *
 * Candidates come from the changed rows alone; then, in steps of one look-up
 * for all of them, each is joined with what stands around it (comment, post,
 * board, workspace) and dropped as soon as a condition fails.  Names are looked
 * up only for what is left.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "capture/candidate.h"
#include "capture/mark.h"

/* A condition: drops a candidate by returning false. */
typedef bool (*Condition)(Candidates *candidates, Candidate *candidate);

/* ------------------------------------------------------------------------
 * Candidates
 * ------------------------------------------------------------------------ */

/* See candidate.h. */
Candidate *
candidate_add(Candidates *candidates, EventKind event, Change *change)
{
	Candidate *candidate;

	if (candidates->list == NULL)
		candidates->list = palloc((candidates->room = 4) * sizeof(Candidate));
	else if (candidates->count == candidates->room)
		candidates->list =
			repalloc_huge(candidates->list, (candidates->room *= 2) * sizeof(Candidate));
	candidate = &candidates->list[candidates->count++];
	memset(candidate, 0, sizeof(Candidate));
	candidate->event = event;
	candidate->change = change;
	return candidate;
}

/* See candidate.h. */
void
candidates_of_change(Candidates *candidates, Source source, Change *change)
{
	uint32 events = events_of_change(source, change->old, change->new);

	for (EventKind event = 0; event < EVENT_COUNT; event++)
	{
		Candidate *candidate;

		if ((events & (1 << event)) == 0)
			continue;
		candidate = candidate_add(candidates, event, change);
		if (source == SOURCE_POST)
			candidate->post = change->new;
		else if (source == SOURCE_COMMENT)
			candidate->comment = change->new;
		else
			candidate->subject = change->new;
		if (event == EVENT_POST_STATUS_CHANGED)
			candidate->from_status = row_text(change->old, POST_STATUS);
		if (event == EVENT_POST_MILESTONE)
			candidate->milestone = event_milestone_crossed(change->old, change->new);
		candidate->once = change->old &&
						  (event == EVENT_POST_CREATED || event == EVENT_COMMENT_CREATED);
	}
}

/* Keeps the candidates that fulfil the condition, in their order. */
static void
keep(Candidates *candidates, Condition condition)
{
	int kept = 0;

	for (int i = 0; i < candidates->count; i++)
		if (condition(candidates, &candidates->list[i]))
		{
			if (kept != i)
				candidates->list[kept] = candidates->list[i];
			kept++;
		}
	candidates->count = kept;
}

/*
 * Fetches a source's rows: by this column of the row that of() gives for each
 * candidate.
 */
static void
want_rows(Candidates *candidates, Source source, Source from, int column,
		  const Row *(*of)(const Candidate *candidate))
{
	Oid type;

	if (candidates->count == 0)
		return;
	type = lookups_column_type(candidates->lookups, from, column);
	for (int i = 0; i < candidates->count; i++)
	{
		const Row *row = of(&candidates->list[i]);

		if (row)
			lookups_want(candidates->lookups, source, row_text(row, column), type);
	}
}

/* These name the row of a candidate that want_rows() goes on from. */
static const Row *
subject_of_candidate(const Candidate *candidate)
{
	return candidate->subject;
}

static const Row *
comment_of_candidate(const Candidate *candidate)
{
	return candidate->comment;
}

static const Row *
post_of_candidate(const Candidate *candidate)
{
	return candidate->post;
}

static const Row *
board_of_candidate(const Candidate *candidate)
{
	return candidate->board;
}

/* ------------------------------------------------------------------------
 * Conditions
 * ------------------------------------------------------------------------ */

/* A mention or reaction: its comment is public, and it is not one's own. */
static bool
on_public_comment(Candidates *candidates, Candidate *candidate)
{
	bool	   mention = candidate->event == EVENT_COMMENT_MENTION;
	const Row *subject = candidate->subject;

	candidate->comment = lookups_get(
		candidates->lookups, SOURCE_COMMENT,
		row_text(subject, mention ? MENTION_COMMENT_ID : REACTION_COMMENT_ID));
	if (candidate->comment == NULL || !event_comment_is_public(candidate->comment))
		return false;
	if (mention)
		return !text_equal(row_text(subject, MENTION_USER_ID),
						   row_text(candidate->comment, COMMENT_AUTHOR_ID)) &&
			   !text_equal(row_text(subject, MENTION_USER_ID),
						   row_text(subject, MENTION_BY_USER_ID));
	return !event_is_own_reaction(subject, candidate->comment);
}

/* Its post exists and can be seen. */
static bool
on_visible_post(Candidates *candidates, Candidate *candidate)
{
	Text id = candidate->comment ? row_text(candidate->comment, COMMENT_POST_ID)
								 : row_text(candidate->subject, VOTE_POST_ID);

	candidate->post = lookups_get(candidates->lookups, SOURCE_POST, id);
	if (candidate->post == NULL || !row_flag(candidate->post, POST_VISIBLE))
		return false;
	return candidate->event != EVENT_POST_UPVOTED ||
		   !event_is_own_vote(candidate->subject, candidate->post);
}

/* The workspace's integrations. */
static const Subscriptions *
listeners_of(Candidates *candidates, Text workspace_id)
{
	Listeners *listeners;
	ListCell  *cell;

	foreach (cell, candidates->listeners)
	{
		listeners = lfirst(cell);
		if (text_same(listeners->workspace_id, workspace_id))
			return listeners->subscriptions;
	}
	listeners = palloc(sizeof(Listeners));
	listeners->workspace_id = workspace_id;
	listeners->subscriptions = subscriptions_of(workspace_id);
	candidates->listeners = lcons(listeners, candidates->listeners);
	return listeners->subscriptions;
}

/* Its board is not a system board, and somebody in the workspace wants it. */
static bool
on_subscribed_board(Candidates *candidates, Candidate *candidate)
{
	Text board_id = row_text(candidate->post, POST_BOARD_ID);
	Text workspace_id;

	candidate->board = lookups_get(candidates->lookups, SOURCE_BOARD, board_id);
	workspace_id = row_text(candidate->board, BOARD_WORKSPACE_ID);
	if (workspace_id.data == NULL || candidate->post->value[POST_ID].isnull)
		return false;
	candidate->subscriptions = listeners_of(candidates, workspace_id);
	candidate->change->quiet = candidate->subscriptions->count == 0;
	if (row_flag(candidate->board, BOARD_IS_SYSTEM))
		return false;
	for (int i = 0; i < candidate->subscriptions->count; i++)
		if (subscription_wants(&candidate->subscriptions->list[i], candidate->event,
							   board_id))
			return true;
	return false;
}

/* The workspace's plan has integrations; an unknown plan has not. */
static bool
in_paying_workspace(Candidates *candidates, Candidate *candidate)
{
	candidate->workspace = lookups_get(candidates->lookups, SOURCE_WORKSPACE,
									   row_text(candidate->board, BOARD_WORKSPACE_ID));
	return plan_is_paid(row_text(candidate->workspace, WORKSPACE_PLAN));
}

/* Condition: nothing has dropped it. */
static bool
not_dropped(Candidates *candidates, Candidate *candidate)
{
	return !candidate->dropped;
}

/* The id that its mark would have. */
static Text
candidate_id(const Candidate *candidate)
{
	return candidate->event == EVENT_COMMENT_CREATED
			   ? row_text(candidate->comment, COMMENT_ID)
			   : row_text(candidate->post, POST_ID);
}

/* ------------------------------------------------------------------------
 * Joining candidates with what stands around them
 * ------------------------------------------------------------------------ */

/* A mention or reaction gets its comment. */
static void
join_comments(Candidates *candidates, Source source)
{
	if (source != SOURCE_MENTION && source != SOURCE_REACTION)
		return;
	want_rows(candidates, SOURCE_COMMENT, source,
			  source == SOURCE_MENTION ? MENTION_COMMENT_ID : REACTION_COMMENT_ID,
			  subject_of_candidate);
	lookups_fetch(candidates->lookups, SOURCE_COMMENT);
	keep(candidates, on_public_comment);
}

/* Whatever is not about a post itself gets its post. */
static void
join_posts(Candidates *candidates, Source source)
{
	if (source == SOURCE_POST)
		return;
	if (source == SOURCE_VOTE)
		want_rows(candidates, SOURCE_POST, SOURCE_VOTE, VOTE_POST_ID,
				  subject_of_candidate);
	else
		want_rows(candidates, SOURCE_POST, SOURCE_COMMENT, COMMENT_POST_ID,
				  comment_of_candidate);
	lookups_fetch(candidates->lookups, SOURCE_POST);
	keep(candidates, on_visible_post);
}

/* Everything gets its board, its workspace and those who listen there. */
static void
join_workspaces(Candidates *candidates)
{
	want_rows(candidates, SOURCE_BOARD, SOURCE_POST, POST_BOARD_ID, post_of_candidate);
	lookups_fetch(candidates->lookups, SOURCE_BOARD);
	keep(candidates, on_subscribed_board);
	want_rows(candidates, SOURCE_WORKSPACE, SOURCE_BOARD, BOARD_WORKSPACE_ID,
			  board_of_candidate);
	lookups_fetch(candidates->lookups, SOURCE_WORKSPACE);
	keep(candidates, in_paying_workspace);
}

/*
 * Drops what became visible, but was visible before; of that, what was hidden inside of this
 * statement tells nothing: it was this one that had made it visible.
 */
static void
drop_marked(Candidates *candidates, Source source)
{
	Text *ids = palloc(candidates->count * sizeof(Text));
	bool *marked = palloc(candidates->count * sizeof(bool));
	int	  count = 0;

	for (int i = 0; i < candidates->count; i++)
		if (candidates->list[i].once)
			ids[count++] = candidate_id(&candidates->list[i]);
	if (count == 0)
		return;
	marks_hidden(source, ids, count, marked);
	count = 0;
	for (int i = 0; i < candidates->count; i++)
		if (candidates->list[i].once)
		{
			candidates->list[i].dropped =
				marked[count] &&
				!nesting_hidden_inside(candidates->nesting, source, ids[count]);
			count++;
		}
	keep(candidates, not_dropped);
}

/* See candidate.h. */
int
candidate_user_column(Source source)
{
	return source == SOURCE_VOTE	  ? VOTE_USER_ID
		   : source == SOURCE_MENTION ? MENTION_USER_ID
									  : REACTION_USER_ID;
}

/* See candidate.h. */
void
candidates_join_people(Candidates *candidates, Source source)
{
	Oid workspace_type;
	Oid author_type;

	if (candidates->count == 0)
		return;
	want_rows(candidates, SOURCE_USER, SOURCE_POST, POST_AUTHOR_ID, post_of_candidate);
	if (source != SOURCE_POST && source != SOURCE_COMMENT)
		want_rows(candidates, SOURCE_USER, source, candidate_user_column(source),
				  subject_of_candidate);
	if (source != SOURCE_POST && source != SOURCE_VOTE)
	{
		want_rows(candidates, SOURCE_USER, SOURCE_COMMENT, COMMENT_AUTHOR_ID,
				  comment_of_candidate);
		workspace_type =
			lookups_column_type(candidates->lookups, SOURCE_BOARD, BOARD_WORKSPACE_ID);
		author_type =
			lookups_column_type(candidates->lookups, SOURCE_COMMENT, COMMENT_AUTHOR_ID);
		for (int i = 0; i < candidates->count; i++)
		{
			const Candidate *candidate = &candidates->list[i];

			lookups_want_role(
				candidates->lookups, row_text(candidate->board, BOARD_WORKSPACE_ID),
				workspace_type, row_text(candidate->comment, COMMENT_AUTHOR_ID),
				author_type);
		}
		lookups_fetch_roles(candidates->lookups);
	}
	lookups_fetch(candidates->lookups, SOURCE_USER);
}

/* See candidate.h. */
void
candidates_join(Candidates *candidates, Source source)
{
	join_comments(candidates, source);
	join_posts(candidates, source);
	join_workspaces(candidates);
	drop_marked(candidates, source);
	candidates_join_people(candidates, source);
}
