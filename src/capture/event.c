/*
 * event.c
 *		What happened: from changed rows to events with their payloads.
 *
 * Candidates come from the changed rows alone; then, in steps of one look-up
 * for all of them, each is joined with what stands around it (comment, post,
 * board, workspace) and dropped as soon as a condition fails.  Names and
 * payloads are only made for what is left.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "capture/event.h"
#include "application/lookup.h"
#include "application/user_context.h"
#include "capture/subscription.h"

/* An event that may have happened. */
typedef struct Candidate
{
	EventKind			 event;
	Change				*change;
	const Row			*post;
	const Row			*comment;
	const Row			*subject; /* vote, mention or reaction */
	const Row			*board;
	const Row			*workspace;
	const Subscriptions *subscriptions;
	Text				 from_status;
	int					 milestone;
	bool				 once; /* only if no mark says that it was visible before */
	bool				 dropped;
} Candidate;

typedef struct Candidates
{
	int		   count;
	int		   room;
	Candidate *list;
	Lookups	  *lookups;
} Candidates;

/* A condition: drops a candidate by returning false. */
typedef bool (*Condition)(Candidates *candidates, Candidate *candidate);

static const int milestones[] = { 10, 50, 100 };

/* ------------------------------------------------------------------------
 * What a changed row can be
 * ------------------------------------------------------------------------ */

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

	return source == SOURCE_POST
			   ? all & ~(COLUMN_BIT(POST_FINGERPRINT) | COLUMN_BIT(POST_IMAGE))
			   : all;
}

/* Visible, and not internal. */
static bool
comment_is_public(const Row *comment)
{
	return row_flag(comment, COMMENT_VISIBLE) && !row_flag(comment, COMMENT_IS_INTERNAL);
}

/* The highest milestone crossed upwards; 0: none. */
static int
milestone_crossed(const Row *old, const Row *new)
{
	int64 from = row_number(old, POST_UPVOTES);
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
	if (milestone_crossed(old, new) > 0)
		events |= 1 << EVENT_POST_MILESTONE;
	return events;
}

/* The events of a change of any source, as bits by EventKind. */
static uint32
source_events(Source source, const Row *old, const Row *new)
{
	switch (source)
	{
		case SOURCE_POST:
			return post_events(old, new);
		case SOURCE_COMMENT:
			return comment_is_public(new) && (old == NULL || !comment_is_public(old))
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
	return source_events(source, old, new) != 0;
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
		return comment_is_public(old) && !comment_is_public(new);
	return false;
}

/* ------------------------------------------------------------------------
 * Candidates
 * ------------------------------------------------------------------------ */

/* Adds an empty candidate; valid until the next is added. */
static Candidate *
add_candidate(Candidates *candidates, EventKind event, Change *change)
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

/* Adds a candidate for each event that a change can be. */
static void
add_change(Candidates *candidates, Source source, Change *change)
{
	uint32 events = source_events(source, change->old, change->new);

	for (EventKind event = 0; event < EVENT_COUNT; event++)
	{
		Candidate *candidate;

		if ((events & (1 << event)) == 0)
			continue;
		candidate = add_candidate(candidates, event, change);
		if (source == SOURCE_POST)
			candidate->post = change->new;
		else if (source == SOURCE_COMMENT)
			candidate->comment = change->new;
		else
			candidate->subject = change->new;
		if (event == EVENT_POST_STATUS_CHANGED)
			candidate->from_status = row_text(change->old, POST_STATUS);
		if (event == EVENT_POST_MILESTONE)
			candidate->milestone = milestone_crossed(change->old, change->new);
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
fetch(Candidates *candidates, Source source, Source from, int column,
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

/* These name the row of a candidate that fetch() goes on from. */
static const Row *
subject_of(const Candidate *candidate)
{
	return candidate->subject;
}

static const Row *
comment_of(const Candidate *candidate)
{
	return candidate->comment;
}

static const Row *
post_of(const Candidate *candidate)
{
	return candidate->post;
}

static const Row *
board_of(const Candidate *candidate)
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
	Text	   author;

	candidate->comment = lookups_get(
		candidates->lookups, SOURCE_COMMENT,
		row_text(subject, mention ? MENTION_COMMENT_ID : REACTION_COMMENT_ID));
	if (candidate->comment == NULL || !comment_is_public(candidate->comment))
		return false;
	author = row_text(candidate->comment, COMMENT_AUTHOR_ID);
	if (mention)
		return !text_equal(row_text(subject, MENTION_USER_ID), author) &&
			   !text_equal(row_text(subject, MENTION_USER_ID),
						   row_text(subject, MENTION_BY_USER_ID));
	return !text_equal(row_text(subject, REACTION_USER_ID), author);
}

/* True if the voter is the post's author: by user, or by an anonymous one's fingerprint. */
static bool
is_own_vote(const Row *vote, const Row *post)
{
	if (text_equal(row_text(vote, VOTE_USER_ID), row_text(post, POST_AUTHOR_ID)))
		return true;
	return (post->value[POST_AUTHOR_ID].isnull || row_flag(post, POST_IS_ANONYMOUS)) &&
		   text_equal(row_text(vote, VOTE_FINGERPRINT), row_text(post, POST_FINGERPRINT));
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
		   !is_own_vote(candidate->subject, candidate->post);
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
	candidate->subscriptions = subscriptions_of(workspace_id);
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
	Text plan;

	candidate->workspace = lookups_get(candidates->lookups, SOURCE_WORKSPACE,
									   row_text(candidate->board, BOARD_WORKSPACE_ID));
	plan = row_text(candidate->workspace, WORKSPACE_PLAN);
	return text_equal(plan, text_of("starter")) ||
		   text_equal(plan, text_of("professional"));
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

/* Drops the candidates with an id that the query has returned. */
static void
drop_returned(Candidates *candidates)
{
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool isnull;
		Text id = text_of_datum(
			SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));

		for (int i = 0; i < candidates->count; i++)
			if (candidates->list[i].once &&
				text_equal(id, candidate_id(&candidates->list[i])))
				candidates->list[i].dropped = true;
	}
	keep(candidates, not_dropped);
}

/* Drops what became visible, but was visible before. */
static void
drop_marked(Candidates *candidates, Source source)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = { TEXTOID, TEXTARRAYOID };
	Text			 *ids = palloc(candidates->count * sizeof(Text));
	Datum			  arguments[2];
	OwnerQuery		  query;
	int				  count = 0;

	for (int i = 0; i < candidates->count; i++)
		if (candidates->list[i].once)
			ids[count++] = candidate_id(&candidates->list[i]);
	if (count == 0)
		return;
	owner_query_begin(&query);
	owner_prepare(&plan,
				  "SELECT id FROM featul_integrations.mark"
				  " WHERE source = $1 AND id = ANY ($2) AND was_visible",
				  2, types);
	arguments[0] = CStringGetTextDatum(source_definitions[source].name);
	arguments[1] = lookups_text_array(ids, count);
	if (SPI_execute_plan(plan, arguments, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read marks");
	drop_returned(candidates);
	owner_query_end(&query);
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
	fetch(candidates, SOURCE_COMMENT, source,
		  source == SOURCE_MENTION ? MENTION_COMMENT_ID : REACTION_COMMENT_ID,
		  subject_of);
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
		fetch(candidates, SOURCE_POST, SOURCE_VOTE, VOTE_POST_ID, subject_of);
	else
		fetch(candidates, SOURCE_POST, SOURCE_COMMENT, COMMENT_POST_ID, comment_of);
	lookups_fetch(candidates->lookups, SOURCE_POST);
	keep(candidates, on_visible_post);
}

/* Everything gets its board, its workspace and those who listen there. */
static void
join_workspaces(Candidates *candidates)
{
	fetch(candidates, SOURCE_BOARD, SOURCE_POST, POST_BOARD_ID, post_of);
	lookups_fetch(candidates->lookups, SOURCE_BOARD);
	keep(candidates, on_subscribed_board);
	fetch(candidates, SOURCE_WORKSPACE, SOURCE_BOARD, BOARD_WORKSPACE_ID, board_of);
	lookups_fetch(candidates->lookups, SOURCE_WORKSPACE);
	keep(candidates, in_paying_workspace);
}

/* The column of a vote, mention or reaction that says who it is about. */
static int
subject_user_column(Source source)
{
	return source == SOURCE_VOTE	  ? VOTE_USER_ID
		   : source == SOURCE_MENTION ? MENTION_USER_ID
									  : REACTION_USER_ID;
}

/* Fetches everybody who is named, and the commenters' roles. */
static void
join_people(Candidates *candidates, Source source)
{
	Oid workspace_type;
	Oid author_type;

	if (candidates->count == 0)
		return;
	fetch(candidates, SOURCE_USER, SOURCE_POST, POST_AUTHOR_ID, post_of);
	if (source != SOURCE_POST && source != SOURCE_COMMENT)
		fetch(candidates, SOURCE_USER, source, subject_user_column(source), subject_of);
	if (source != SOURCE_POST && source != SOURCE_VOTE)
	{
		fetch(candidates, SOURCE_USER, SOURCE_COMMENT, COMMENT_AUTHOR_ID, comment_of);
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

/* ------------------------------------------------------------------------
 * Payloads
 * ------------------------------------------------------------------------ */

/* A timestamp as payloads have it; NULL text where it is NULL or infinite. */
static Text
row_time(const Row *row, int column)
{
	return row->value[column].isnull ? text_of(NULL)
									 : text_of_timestamp(row->value[column].time);
}

/* A person by user id; unknown where there is no such user. */
static Person
person_by_id(const Candidates *candidates, Text id)
{
	const Row *user = lookups_get(candidates->lookups, SOURCE_USER, id);
	Person	   person = { 0 };

	if (user)
	{
		person.known = true;
		person.name = row_text(user, USER_NAME);
		person.email = row_text(user, USER_EMAIL);
	}
	return person;
}

/* What all payloads have. */
static void
fill_post(Payload *payload, const Candidates *candidates, const Candidate *candidate)
{
	const Row *post = candidate->post;

	payload->workspace_id = row_text(candidate->workspace, WORKSPACE_ID);
	payload->workspace_name = row_text(candidate->workspace, WORKSPACE_NAME);
	payload->workspace_slug = row_text(candidate->workspace, WORKSPACE_SLUG);
	payload->hides_identity = row_flag(candidate->board, BOARD_HIDES_IDENTITY);
	payload->board = row_text(candidate->board, BOARD_NAME);
	payload->post_id = row_text(post, POST_ID);
	payload->title = row_text(post, POST_TITLE);
	payload->content = row_text(post, POST_CONTENT);
	payload->slug = row_text(post, POST_SLUG);
	payload->upvotes = row_number(post, POST_UPVOTES);
	payload->status = row_text(post, POST_STATUS);
	payload->post_created_at = row_time(post, POST_CREATED_AT);
	payload->author = person_by_id(candidates, row_text(post, POST_AUTHOR_ID));
	payload->author.known = payload->author.known && !row_flag(post, POST_IS_ANONYMOUS);
	payload->from_status = candidate->from_status;
	payload->milestone = candidate->milestone;
}

/* What the payloads of comments have. */
static void
fill_comment(Payload *payload, const Candidates *candidates, const Candidate *candidate)
{
	const Row *comment = candidate->comment;
	Text	   author_id = row_text(comment, COMMENT_AUTHOR_ID);

	payload->comment_id = row_text(comment, COMMENT_ID);
	payload->comment_content = row_text(comment, COMMENT_CONTENT);
	payload->comment_created_at = row_time(comment, COMMENT_CREATED_AT);
	payload->commenter = person_by_id(candidates, author_id);
	if (!payload->commenter.known)
	{
		payload->commenter.name = row_text(comment, COMMENT_AUTHOR_NAME);
		payload->commenter.known = payload->commenter.name.data != NULL;
	}
	if (row_flag(comment, COMMENT_IS_ANONYMOUS))
		payload->commenter.known = false;
	payload->role = lookups_role(candidates->lookups,
								 row_text(candidate->workspace, WORKSPACE_ID), author_id);
	if (text_equal(author_id, row_text(candidate->workspace, WORKSPACE_OWNER_ID)))
		payload->role = text_of("owner");
}

/* Who voted, reacted or was mentioned. */
static void
fill_subject(Payload *payload, const Candidates *candidates, const Candidate *candidate,
			 Source source)
{
	payload->other = person_by_id(
		candidates, row_text(candidate->subject, subject_user_column(source)));
	if (source == SOURCE_REACTION)
		payload->reaction = row_text(candidate->subject, REACTION_TYPE);
}

/* The payload of a candidate with everything around it; palloc'd, and a NUL after it. */
static text *
build_payload(const Candidates *candidates, const Candidate *candidate, Source source)
{
	Payload		   payload = { .event = event_definitions[candidate->event].name };
	StringInfoData out;

	fill_post(&payload, candidates, candidate);
	if (candidate->comment)
		fill_comment(&payload, candidates, candidate);
	if (candidate->subject)
		fill_subject(&payload, candidates, candidate, source);
	initStringInfo(&out);
	enlargeStringInfo(&out, VARHDRSZ);
	out.len = VARHDRSZ;
	payload_build(&out, &payload);
	SET_VARSIZE(out.data, out.len);
	return (text *) out.data;
}

/* ------------------------------------------------------------------------
 * Context: what chat messages show beyond the payload
 * ------------------------------------------------------------------------ */

/* Parses JSON of the application; NULL where it does not parse as jsonb. */
static Jsonb *
parse_json(Text text)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Jsonb *volatile result = NULL;

	if (text.data == NULL || text.cut)
		return NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		result =
			DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data)));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		result = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return result;
}

/* The name of a status in a board's list [{"id", "name"}, ...]; NULL if it is not there. */
static char *
status_name(Jsonb *list, Text status)
{
	if (list == NULL || !JB_ROOT_IS_ARRAY(list) || status.data == NULL)
		return NULL;
	for (uint32 i = 0; i < JB_ROOT_COUNT(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(&list->root, i);
		JsonbValue	id;
		JsonbValue	name;

		if (item->type != jbvBinary || !JsonContainerIsObject(item->val.binary.data) ||
			!getKeyJsonValueFromContainer(item->val.binary.data, "id", 2, &id) ||
			!getKeyJsonValueFromContainer(item->val.binary.data, "name", 4, &name) ||
			id.type != jbvString || name.type != jbvString ||
			id.val.string.len != status.length ||
			memcmp(id.val.string.val, status.data, status.length) != 0)
			continue;
		return pnstrdup(name.val.string.val, name.val.string.len);
	}
	return NULL;
}

/* Appends a status's name, if the list has one. */
static void
append_name(StringInfo json, const char *key, Jsonb *list, Text status)
{
	char *name = status_name(list, status);

	if (name == NULL)
		return;
	appendStringInfo(json, "%s\"%s\":", json->len > 1 ? "," : "", key);
	escape_json(json, name);
}

/* {"statusName", "fromName", "toName"}, those that are known; NULL if none is. */
static char *
build_context(const Candidate *candidate)
{
	Jsonb		  *list = parse_json(row_text(candidate->board, BOARD_ROADMAP_STATUSES));
	Text		   status = row_text(candidate->post, POST_STATUS);
	StringInfoData json;

	if (list == NULL)
		return NULL;
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_name(&json, "statusName", list, status);
	if (candidate->event == EVENT_POST_STATUS_CHANGED)
	{
		append_name(&json, "fromName", list, candidate->from_status);
		append_name(&json, "toName", list, status);
	}
	appendStringInfoChar(&json, '}');
	return json.len > 2 ? json.data : NULL;
}

/* ------------------------------------------------------------------------
 * Records
 * ------------------------------------------------------------------------ */

/* The event as it is to be written; NULL if every integration's rule refuses it. */
static Record *
build_record(const Candidates *candidates, const Candidate *candidate, Source source)
{
	const Subscriptions *subscriptions = candidate->subscriptions;
	Record				*record = palloc0(sizeof(Record));
	bool				 chat = false;

	record->event = candidate->event;
	record->workspace_id = row_text(candidate->workspace, WORKSPACE_ID);
	record->post_id = row_text(candidate->post, POST_ID);
	record->milestone = candidate->milestone;
	record->payload = build_payload(candidates, candidate, source);
	record->integrations = palloc(subscriptions->count * sizeof(pg_uuid_t));
	for (int i = 0; i < subscriptions->count; i++)
	{
		const Subscription *subscription = &subscriptions->list[i];

		if (!subscription_wants(subscription, candidate->event,
								row_text(candidate->post, POST_BOARD_ID)) ||
			!subscription_accepts(subscription, VARDATA(record->payload)))
			continue;
		record->integrations[record->n_integrations++] = subscription->id;
		chat = chat || subscription->is_chat;
	}
	if (record->n_integrations == 0)
		return NULL;
	if (chat)
		record->context = build_context(candidate);
	return record;
}

/* Joins the candidates with what stands around them, and drops what is no event. */
static void
join_all(Candidates *candidates, Source source)
{
	join_comments(candidates, source);
	join_posts(candidates, source);
	join_workspaces(candidates);
	drop_marked(candidates, source);
	join_people(candidates, source);
}

/* See event.h. */
List *
events_of(Source source, Change *changes, int count)
{
	Candidates candidates = { .lookups = lookups_create() };
	List	  *records = NIL;

	/* what this statement, and the triggers so far, have written is visible */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < count; i++)
		add_change(&candidates, source, &changes[i]);
	join_all(&candidates, source);
	for (int i = 0; i < candidates.count; i++)
	{
		Record *record = build_record(&candidates, &candidates.list[i], source);

		if (record)
			records = lappend(records, record);
	}
	PopActiveSnapshot();
	return records;
}

/* ------------------------------------------------------------------------
 * The latest matching data, for previews
 * ------------------------------------------------------------------------ */

/* The source whose row an event is about. */
static Source
source_of_event(EventKind event)
{
	switch (event)
	{
		case EVENT_POST_UPVOTED:
			return SOURCE_VOTE;
		case EVENT_COMMENT_CREATED:
			return SOURCE_COMMENT;
		case EVENT_COMMENT_MENTION:
			return SOURCE_MENTION;
		case EVENT_COMMENT_REACTION:
			return SOURCE_REACTION;
		default:
			return SOURCE_POST;
	}
}

/* What must hold of the latest row, beyond visibility. */
static const char *
latest_condition(EventKind event)
{
	switch (event)
	{
		case EVENT_POST_STATUS_CHANGED:
			return " AND post.status IS NOT NULL";
		case EVENT_POST_PINNED:
			return " AND post.is_pinned";
		case EVENT_POST_FEATURED:
			return " AND post.is_featured";
		case EVENT_POST_LOCKED:
			return " AND post.is_locked";
		case EVENT_POST_MILESTONE:
			return " AND post.upvotes >= 10";
		default:
			return "";
	}
}

/* The query for the id of the latest row that the event could be about. */
static char *
latest_sql(EventKind event)
{
	Source		   source = source_of_event(event);
	const char	  *name = source_definitions[source].name;
	bool		   on_comment = source == SOURCE_MENTION || source == SOURCE_REACTION;
	const char	  *sort = on_comment || source == SOURCE_COMMENT ? "comment" : "post";
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s.id FROM ", name);
	binding_append_relation(&sql, SOURCE_BOARD, "board");
	appendStringInfoString(&sql, " JOIN ");
	binding_append_relation(&sql, SOURCE_POST, "post");
	appendStringInfoString(&sql, " ON post.board_id = board.id");
	if (on_comment || source == SOURCE_COMMENT)
	{
		appendStringInfoString(&sql, " JOIN ");
		binding_append_relation(&sql, SOURCE_COMMENT, "comment");
		appendStringInfoString(&sql, " ON comment.post_id = post.id AND comment.visible"
									 " AND comment.is_internal IS NOT TRUE");
	}
	if (source != SOURCE_POST && source != SOURCE_COMMENT)
	{
		appendStringInfoString(&sql, " JOIN ");
		binding_append_relation(&sql, source, name);
		appendStringInfo(&sql,
						 on_comment ? " ON %s.comment_id = comment.id"
									: " ON %s.post_id = post.id",
						 name);
	}
	appendStringInfo(&sql,
					 " WHERE board.workspace_id = $1 AND board.is_system IS NOT TRUE"
					 " AND post.visible%s ORDER BY %s.created_at DESC NULLS LAST LIMIT 1",
					 latest_condition(event), sort);
	return sql.data;
}

/*
 * Becomes who may read all that latest_sql() joins; false where the tables
 * belong to several, of whom none shall run the others' code.
 */
static bool
latest_begin(EventKind event, OwnerState *state)
{
	Source source = source_of_event(event);
	bool   on_comment =
		source == SOURCE_COMMENT || source == SOURCE_MENTION || source == SOURCE_REACTION;
	Source sources[] = { SOURCE_BOARD, SOURCE_POST, source,
						 on_comment ? SOURCE_COMMENT : source };
	Source reader = SOURCE_BOARD;

	for (int i = 0; i < lengthof(sources); i++)
	{
		if (owner_of_table(binding_relid(sources[i])) !=
			owner_of_table(binding_relid(SOURCE_BOARD)))
			return false;
		if (binding_of(sources[i], binding_relid(sources[i]))->foreign_functions)
			reader = sources[i];
	}
	owner_bound_begin(state, reader);
	return true;
}

/* Runs it; NULL text if there is no such row. */
static Text
latest_id(EventKind event, Text workspace_id)
{
	Oid		   types[] = { TEXTOID };
	Datum	   arguments[1];
	OwnerQuery query;
	OwnerState state;
	char	  *sql = latest_sql(event);
	Text	   id = { 0 };

	owner_query_begin(&query);
	arguments[0] =
		PointerGetDatum(cstring_to_text_with_len(workspace_id.data, workspace_id.length));
	if (!latest_begin(event, &state))
	{
		owner_query_end(&query);
		return id;
	}
	if (SPI_execute_with_args(sql, 1, types, arguments, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the latest rows");
	owner_end(&state);
	if (SPI_processed > 0)
	{
		bool  isnull;
		Datum datum =
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		MemoryContextSwitchTo(query.memory);
		if (!isnull)
			id = text_of_datum(datum);
	}
	owner_query_end(&query);
	return id;
}

/* One row by its id. */
static const Row *
fetch_one(Candidates *candidates, Source source, Text id)
{
	lookups_want(candidates->lookups, source, id, InvalidOid);
	lookups_fetch(candidates->lookups, source);
	return lookups_get(candidates->lookups, source, id);
}

/* Joins the only candidate with what stands around it; false if something is missing. */
static bool
join_latest(Candidates *candidates, Source source, const Row *row)
{
	Candidate *candidate = &candidates->list[0];

	if (source == SOURCE_COMMENT)
		candidate->comment = row;
	else if (source == SOURCE_POST)
		candidate->post = row;
	else
		candidate->subject = row;
	if (source == SOURCE_MENTION || source == SOURCE_REACTION)
		candidate->comment =
			fetch_one(candidates, SOURCE_COMMENT,
					  row_text(row, source == SOURCE_MENTION ? MENTION_COMMENT_ID
															 : REACTION_COMMENT_ID));
	if (source == SOURCE_VOTE)
		candidate->post = fetch_one(candidates, SOURCE_POST, row_text(row, VOTE_POST_ID));
	else if (source != SOURCE_POST)
		candidate->post = fetch_one(candidates, SOURCE_POST,
									row_text(candidate->comment, COMMENT_POST_ID));
	if (candidate->post == NULL)
		return false;
	candidate->board =
		fetch_one(candidates, SOURCE_BOARD, row_text(candidate->post, POST_BOARD_ID));
	candidate->workspace = fetch_one(candidates, SOURCE_WORKSPACE,
									 row_text(candidate->board, BOARD_WORKSPACE_ID));
	if (candidate->event == EVENT_POST_MILESTONE)
		for (int i = 0; i < lengthof(milestones); i++)
			if (milestones[i] <= row_number(candidate->post, POST_UPVOTES))
				candidate->milestone = milestones[i];
	return candidate->workspace != NULL;
}

/* See event.h. */
bool
event_latest(const char *event, const char *workspace_id, char **payload, char **context)
{
	EventKind  kind = event_kind(event);
	Source	   source = source_of_event(kind);
	Candidates candidates = { .lookups = lookups_create() };
	Text	   id;
	const Row *row;

	if (kind == EVENT_COUNT || !binding_has(source) ||
		((source == SOURCE_MENTION || source == SOURCE_REACTION) &&
		 !binding_has(SOURCE_COMMENT)))
		return false;
	add_candidate(&candidates, kind, NULL);
	id = latest_id(kind, text_of(workspace_id));
	row = id.data ? fetch_one(&candidates, source, id) : NULL;
	if (row == NULL || !join_latest(&candidates, source, row))
		return false;
	join_people(&candidates, source);
	*payload = VARDATA(build_payload(&candidates, &candidates.list[0], source));
	*context = build_context(&candidates.list[0]);
	return true;
}
