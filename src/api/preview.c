/*
 * preview.c
 *		integration_preview(): the body that would be sent, for the latest data that
 *		an event could be about.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "api/access.h"
#include "api/api.h"
#include "api/filter.h"
#include "api/query.h"
#include "application/binding.h"
#include "application/user_context.h"
#include "base/own_query.h"
#include "base/safe_settings.h"
#include "base/text.h"
#include "capture/event_payload.h"
#include "capture/payload.h"

/* The source whose row an event is about. */
static Source
source_of_event(EventKind event)
{
	const char *source = event_definitions[event].source;

	return source_by_name(source, strlen(source));
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
	binding_append_rows(&sql, SOURCE_BOARD, BOARD_WORKSPACE_ID, "$1", "board");
	appendStringInfoString(&sql, " JOIN ");
	binding_append_rows(&sql, SOURCE_POST, -1, NULL, "post");
	appendStringInfoString(&sql, " ON post.board_id = board.id");
	if (on_comment || source == SOURCE_COMMENT)
	{
		appendStringInfoString(&sql, " JOIN ");
		binding_append_rows(&sql, SOURCE_COMMENT, -1, NULL, "comment");
		appendStringInfoString(&sql, " ON comment.post_id = post.id AND comment.visible"
									 " AND comment.is_internal IS NOT TRUE");
	}
	if (source != SOURCE_POST && source != SOURCE_COMMENT)
	{
		appendStringInfoString(&sql, " JOIN ");
		binding_append_rows(&sql, source, -1, NULL, name);
		appendStringInfo(&sql,
						 on_comment ? " ON %s.comment_id = comment.id"
									: " ON %s.post_id = post.id",
						 name);
	}
	appendStringInfo(&sql,
					 " WHERE board.is_system IS NOT TRUE"
					 " AND post.visible%s ORDER BY %s.created_at DESC NULLS LAST LIMIT 1",
					 latest_condition(event), sort);
	return sql.data;
}

/*
 * Becomes who may read all that latest_sql() joins; false where the tables
 * belong to several, of whom none shall run the others' code, or where bindings
 * call functions, which would have to be called for every row there is.
 */
static bool
latest_begin(EventKind event, UserContext *state)
{
	Source source = source_of_event(event);
	bool   on_comment =
		source == SOURCE_COMMENT || source == SOURCE_MENTION || source == SOURCE_REACTION;
	Source sources[] = { SOURCE_BOARD, SOURCE_POST, source,
						 on_comment ? SOURCE_COMMENT : source };

	for (int i = 0; i < lengthof(sources); i++)
	{
		if (table_owner(binding_relid(sources[i])) !=
			table_owner(binding_relid(SOURCE_BOARD)))
			return false;
		if (binding_of(sources[i], binding_relid(sources[i]))->foreign_functions)
			return false;
	}
	user_context_as_table_owner(state, binding_relid(SOURCE_BOARD));
	return true;
}

/* Runs it; NULL text if there is no such row. */
static Text
latest_id(EventKind event, Text workspace_id)
{
	QueryParameters parameters = { 0 };
	OwnQuery		query;
	UserContext		state;
	int				settings;
	char		   *sql = latest_sql(event);
	Text			id = { 0 };

	own_query_begin(&query);
	query_add(
		&parameters, TEXTOID,
		PointerGetDatum(cstring_to_text_with_len(workspace_id.data, workspace_id.length)),
		false);
	if (!latest_begin(event, &state))
	{
		own_query_end(&query);
		return id;
	}
	settings = safe_settings_begin();
	(void) query_read(&parameters, sql);
	safe_settings_end(settings);
	user_context_restore(&state);
	if (SPI_processed > 0)
	{
		bool  isnull;
		Datum datum =
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		MemoryContextSwitchTo(query.memory);
		if (!isnull)
			id = text_of_datum(datum);
	}
	own_query_end(&query);
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
		candidate->milestone = event_milestone_reached(candidate->post);
	return candidate->workspace != NULL;
}

/*
 * The payload (and labels, or NULL) that the workspace's latest row matching
 * this event would give now; false if there is none.  Both palloc'd.
 */
static bool
latest_event(const char *event, const char *workspace_id, char **payload, char **labels)
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
	candidate_add(&candidates, kind, NULL);
	id = latest_id(kind, text_of(workspace_id));
	row = id.data ? fetch_one(&candidates, source, id) : NULL;
	if (row == NULL || !join_latest(&candidates, source, row))
		return false;
	candidates_join_people(&candidates, source);
	*payload = VARDATA(event_payload(&candidates, &candidates.list[0], source));
	*labels = event_labels(&candidates, &candidates.list[0]);
	return true;
}

/* The event's data now: of the workspace's latest matching row, else a sample. */
static void
preview_event(const char *name, const Workspace *workspace, Event *event)
{
	char *payload;
	char *labels = NULL;

	if (strcmp(name, EVENT_TEST_NAME) == 0)
		payload = payload_test(workspace->id, workspace->name, workspace->slug);
	else if (!latest_event(name, workspace->id, &payload, &labels))
		payload = payload_sample(event_kind(name), workspace->id, workspace->name,
								 workspace->slug);
	event->name = name;
	event->payload = payload;
	event->labels = labels;
	event->created_at = GetCurrentStatementStartTimestamp();
}

FEATUL_FUNCTION(featul_integration_preview);

/* integration_preview(workspace_slug, type, event): see the install script. */
Datum
featul_integration_preview(PG_FUNCTION_ARGS)
{
	OwnQuery	   query;
	const Channel *channel;
	Event		   event = { 0 };
	StringInfoData body;
	char		  *slug;
	char		  *name;

	access_authenticate();
	slug = api_text(fcinfo, 0, "workspace_slug");
	channel = api_channel(fcinfo, 1);
	name = api_text(fcinfo, 2, "event");
	if (strcmp(name, EVENT_TEST_NAME) != 0)
		filter_check_event(name);
	query_begin(&query);
	preview_event(name, access_workspace(slug, PERMISSION_VIEW, false), &event);
	query_end(&query);

	initStringInfo(&body);
	channel->render(&event, &body);
	PG_RETURN_TEXT_P(cstring_to_text(text_from_foreign(body.data, body.len, body.len)));
}
