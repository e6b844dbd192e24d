/*
 * event_payload.c
 *		What an event says: its payload, and the labels that chat messages show
 *		beyond it.
 *
 * payload.c writes the JSON; this takes what goes into it from the rows.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "base/subtransaction.h"
#include "capture/event_payload.h"
#include "capture/payload.h"

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
	payload->image = row_text(post, POST_IMAGE);
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
		candidates, row_text(candidate->subject, candidate_user_column(source)));
	if (source == SOURCE_REACTION)
		payload->reaction = row_text(candidate->subject, REACTION_TYPE);
}

/* See event_payload.h. */
text *
event_payload(const Candidates *candidates, const Candidate *candidate, Source source)
{
	Payload		   payload = { .event = candidate->event };
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
 * Labels
 * ------------------------------------------------------------------------ */

/* JSON of the application, and what it parses to. */
typedef struct Parsing
{
	Text   text;
	Jsonb *json;
} Parsing;

/* Step: parses it as jsonb. */
static void
parse_step(void *argument)
{
	Parsing *parsing = argument;

	parsing->json = DatumGetJsonbP(
		DirectFunctionCall1(jsonb_in, CStringGetDatum(parsing->text.data)));
}

/* Parses JSON of the application; NULL where it does not parse as jsonb. */
static Jsonb *
parse_json(Text text)
{
	Parsing parsing = { .text = text };

	if (text.data == NULL || text.cut || subtransaction_run(parse_step, &parsing) != NULL)
		return NULL;
	return parsing.json;
}

/* The list of statuses of a candidate's board; NULL where it has none that parses. */
static Jsonb *
status_list(Candidates *candidates, const Candidate *candidate)
{
	StatusList *list;
	ListCell   *cell;

	foreach (cell, candidates->status_lists)
	{
		list = lfirst(cell);
		if (list->board == candidate->board)
			return list->json;
	}
	list = palloc(sizeof(StatusList));
	list->board = candidate->board;
	list->json = parse_json(row_text(candidate->board, BOARD_ROADMAP_STATUSES));
	candidates->status_lists = lcons(list, candidates->status_lists);
	return list->json;
}

/* True if an item of a board's list has this id; without a status any has. */
static bool
is_status(JsonbContainer *item, Text status)
{
	JsonbValue id;

	if (status.data == NULL)
		return true;
	return getKeyJsonValueFromContainer(item, "id", 2, &id) && id.type == jbvString &&
		   id.val.string.len == status.length &&
		   memcmp(id.val.string.val, status.data, status.length) == 0;
}

/*
 * The name of a status in a board's list [{"id", "name"}, ...]; NULL if it is not
 * there.  A post without a status has the first one, as the application shows it.
 */
static char *
name_of_status(Jsonb *list, Text status)
{
	if (list == NULL || !JB_ROOT_IS_ARRAY(list))
		return NULL;
	for (uint32 i = 0; i < JB_ROOT_COUNT(list); i++)
	{
		JsonbValue *item = getIthJsonbValueFromContainer(&list->root, i);
		JsonbValue	name;

		if (item->type == jbvBinary && JsonContainerIsObject(item->val.binary.data) &&
			is_status(item->val.binary.data, status) &&
			getKeyJsonValueFromContainer(item->val.binary.data, "name", 4, &name) &&
			name.type == jbvString)
			return pnstrdup(name.val.string.val, name.val.string.len);
	}
	return NULL;
}

/* Appends a status's name, if the list has one. */
static void
append_name(StringInfo json, const char *key, Jsonb *list, Text status)
{
	char *name = name_of_status(list, status);

	if (name == NULL)
		return;
	appendStringInfo(json, "%s\"%s\":", json->len > 1 ? "," : "", key);
	escape_json(json, name);
}

/* See event_payload.h. */
char *
event_labels(Candidates *candidates, const Candidate *candidate)
{
	Jsonb		  *list = status_list(candidates, candidate);
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
