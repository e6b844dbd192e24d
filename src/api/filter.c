/*
 * filter.c
 *		What an integration wants to hear about: events, boards and a rule.
 *
 * Only checks and translates what users give; capture.c applies it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "api/access.h"
#include "application/binding.h"
#include "api/filter.h"
#include "api/query.h"
#include "base/errors.h"
#include "base/subtransaction.h"
#include "base/text.h"
#include "capture/payload.h"
#include "capture/rule.h"

#define MAX_ELEMENTS 1000

#define SHOWN_MAX_BYTES 100

/* See filter.h. */
char *
filter_clipped(const char *text)
{
	int length = strlen(text);

	if (length <= SHOWN_MAX_BYTES)
		return pstrdup(text);
	return psprintf("%.*s...", pg_mbcliplen(text, length, SHOWN_MAX_BYTES), text);
}

/* The elements of a one-dimensional array with no NULL, which is not empty. */
static char **
elements_of(ArrayType *array, const char *argument, int *count)
{
	Datum *values;
	char **elements;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
			 errmsg("Argument %s must be a one-dimensional array without NULL elements",
					argument),
			 errhint("Pass NULL as %s for all.", argument)));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, count);
	if (*count == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
						errmsg("Argument %s must not be empty", argument),
						errhint("Pass NULL as %s for all.", argument)));
	if (*count > MAX_ELEMENTS)
		ereport(ERROR,
				(errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
				 errmsg("Argument %s has more than %d elements", argument, MAX_ELEMENTS),
				 errhint("Pass NULL as %s for all.", argument)));
	elements = palloc(*count * sizeof(char *));
	for (int i = 0; i < *count; i++)
		elements[i] = TextDatumGetCString(values[i]);
	return elements;
}

/* A text array of what is in the list, each once. */
static ArrayType *
text_array(List *texts)
{
	Datum	 *values = palloc(list_length(texts) * sizeof(Datum));
	int		  count = 0;
	ListCell *cell;

	foreach (cell, texts)
	{
		bool seen = false;

		for (int i = 0; i < foreach_current_index(cell) && !seen; i++)
			seen = strcmp(list_nth(texts, i), lfirst(cell)) == 0;
		if (!seen)
			values[count++] = CStringGetTextDatum(lfirst(cell));
	}
	return construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT);
}

/* "post.created, post.status_changed, ...": for the hint */
static char *
known_events(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (EventKind kind = 0; kind < EVENT_COUNT; kind++)
		text_append_item(&list, event_definitions[kind].name);
	return list.data;
}

/* See filter.h. */
void
filter_check_event(const char *name)
{
	if (event_kind(name) == EVENT_COUNT)
		ereport(ERROR, (errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
						errmsg("Unknown event \"%s\"", filter_clipped(name)),
						errhint("Events are %s.", known_events())));
}

/* See filter.h. */
ArrayType *
filter_events(ArrayType *events)
{
	int	   count;
	char **names;
	List  *known = NIL;

	if (events == NULL)
		return NULL;
	names = elements_of(events, "events", &count);
	for (int i = 0; i < count; i++)
	{
		filter_check_event(names[i]);
		known = lappend(known, names[i]);
	}
	return text_array(known);
}

/* See filter.h. */
ArrayType *
filter_boards(ArrayType *slugs, const char *workspace_id)
{
	StringInfoData	sql;
	QueryParameters parameters = { 0 };
	List		   *ids = NIL;
	int64			rows;

	if (slugs == NULL)
		return NULL;
	initStringInfo(&sql);
	appendStringInfoString(
		&sql,
		"SELECT u.slug, b.id FROM unnest($2) WITH ORDINALITY AS u (slug, n) LEFT JOIN ");
	binding_append_rows(&sql, SOURCE_BOARD, BOARD_WORKSPACE_ID, "$1", "b");
	appendStringInfoString(&sql, " ON coalesce(b.slug, b.id) = u.slug ORDER BY u.n");
	query_add_text(&parameters, workspace_id);
	query_add(&parameters, TEXTARRAYOID, PointerGetDatum(slugs), false);
	rows = query_read_bound(&parameters, SOURCE_BOARD, sql.data);
	for (int64 row = 0; row < rows; row++)
	{
		char *id = query_result(row, 2);

		if (id == NULL)
			ereport(
				ERROR,
				(errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
				 errmsg("Unknown board \"%s\"", filter_clipped(query_result(row, 1))),
				 errhint("Boards are given by the slugs of the workspace's boards.")));
		ids = lappend(ids, id);
	}
	return text_array(ids);
}

/* See filter.h. */
void
filter_check_slugs(ArrayType *slugs)
{
	int count;

	if (slugs != NULL)
		(void) elements_of(slugs, "boards", &count);
}

/* Raises PT400, with this reason. */
static void
refuse_rule(const char *detail)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_FEATUL_BAD_ARGUMENT), errmsg("Rule cannot be used"),
		 errdetail("%s", detail),
		 errhint(
			 "A rule is a jsonpath predicate over the webhook's payload, such as $.post.upvotes >= 10.")));
}

/* A rule; why it costs too much, or whether it is true or false for some event. */
typedef struct TriedRule
{
	const char *rule;
	const char *objection;
	bool		decides;
} TriedRule;

/*
 * Reads the rule and evaluates it over a sample of each event as capture does; raises
 * whatever it raises.
 */
static void
try_rule(void *argument)
{
	TriedRule	   *trial = argument;
	QueryParameters parameters = { 0 };
	Datum			samples[EVENT_COUNT];

	if (rule_read(trial->rule, &trial->objection) == NULL)
		return;
	for (EventKind kind = 0; kind < EVENT_COUNT; kind++)
		samples[kind] =
			CStringGetTextDatum(payload_sample(kind, "workspace_sample", "Acme", "acme"));
	query_add_text(&parameters, trial->rule);
	query_add(&parameters, TEXTARRAYOID,
			  PointerGetDatum(construct_array(samples, EVENT_COUNT, TEXTOID, -1, false,
											  TYPALIGN_INT)),
			  false);
	(void) query_read(
		&parameters,
		"SELECT bool_or(pg_catalog.jsonb_path_match_tz(sample::jsonb, $1::jsonpath, '{}', true) IS NOT NULL)"
		" FROM unnest($2) AS sample");
	trial->decides = query_result_bool(0, 1);
}

/* See filter.h. */
void
filter_check_rule(const char *rule)
{
	if (rule == NULL)
		return;
	if (rule[strspn(rule, " \t\r\n")] == '\0')
		ereport(ERROR, (errcode(ERRCODE_FEATUL_BAD_ARGUMENT),
						errmsg("Argument rule must not be empty"),
						errhint("Pass NULL as rule for all.")));
}

/* See filter.h. */
void
filter_try_rule(const char *rule)
{
	TriedRule  trial = { .rule = rule };
	ErrorData *error;

	if (rule == NULL)
		return;
	error = subtransaction_run(try_rule, &trial);
	if (error)
		refuse_rule(error->detail ? psprintf("%s: %s", error->message, error->detail)
								  : error->message);
	if (trial.objection)
		refuse_rule(trial.objection);
	if (!trial.decides)
		refuse_rule("It is neither true nor false for any event.");
}
