/*
 * mark.c
 *		Marks for what may happen only once.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "application/lookup.h"
#include "base/own_query.h"
#include "capture/mark.h"

/*
 * Longest id that stands in the table as it is; of a longer one a digest, since an index
 * takes no more than a third of a page.  Our own bound.
 */
#define KEY_MAX_BYTES 128

/* What the mark of a row with this id is kept under; palloc'd where it is not the id. */
static Text
mark_key(Text id)
{
	bytea *digest;
	char  *key;

	if (id.length <= KEY_MAX_BYTES)
		return id;
	digest = DatumGetByteaPP(DirectFunctionCall1(
		sha256_bytea, PointerGetDatum(cstring_to_text_with_len(id.data, id.length))));
	key = palloc(strlen("sha256:") + 2 * VARSIZE_ANY_EXHDR(digest) + 1);
	strcpy(key, "sha256:");
	hex_encode(VARDATA_ANY(digest), VARSIZE_ANY_EXHDR(digest), key + strlen("sha256:"));
	key[strlen("sha256:") + 2 * VARSIZE_ANY_EXHDR(digest)] = '\0';
	return text_of(key);
}

/* text[] of the keys of these ids */
static Datum
mark_keys(const Text *ids, int count)
{
	Text *keys = palloc(Max(count, 1) * sizeof(Text));

	for (int i = 0; i < count; i++)
		keys[i] = mark_key(ids[i]);
	return lookups_text_array(keys, count);
}

/* The keys that a query has returned. */
static Text *
returned_ids(void)
{
	Text *ids = palloc(Max(SPI_processed, 1) * sizeof(Text));

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;

		ids[i] = text_of_datum(
			SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	return ids;
}

/* True if the query has returned this id. */
static bool
is_returned(const Text *returned, Text id)
{
	Text key = mark_key(id);

	for (uint64 i = 0; i < SPI_processed; i++)
		if (text_equal(key, returned[i]))
			return true;
	return false;
}

/*
 * Runs a statement over marks inside a query, $1 being the source and $2 the keys of these
 * ids; the keys that it returns, if it does.
 */
static Text *
run_for_ids(SPIPlanPtr *plan, const char *sql, int expected, Source source,
			const Text *ids, int count)
{
	Oid	  types[] = { TEXTOID, TEXTARRAYOID };
	Datum arguments[] = { CStringGetTextDatum(source_definitions[source].name),
						  mark_keys(ids, count) };

	own_query_run(own_query_prepare(plan, sql, 2, types), arguments, expected);
	return returned_ids();
}

/* See mark.h. */
int
mark_hidden(Source source, Text *ids, int count)
{
	static SPIPlanPtr plan = NULL;
	OwnQuery		  query;
	Text			 *marked;
	int				  n_new = 0;

	own_query_begin(&query);
	marked = run_for_ids(&plan,
						 "INSERT INTO featul_integrations.mark (source, id, was_visible)"
						 " SELECT DISTINCT $1, i, true FROM pg_catalog.unnest($2) AS i"
						 " ON CONFLICT (source, id) DO UPDATE SET was_visible = true"
						 " WHERE NOT mark.was_visible RETURNING id",
						 SPI_OK_INSERT_RETURNING, source, ids, count);
	if (SPI_processed == count)
		n_new = count;
	else
		for (int i = 0; i < count; i++)
			if (is_returned(marked, ids[i]))
				ids[n_new++] = ids[i];
	own_query_end(&query);
	return n_new;
}

/* See mark.h. */
void
mark_unseen(Source source, const Text *ids, int count)
{
	static SPIPlanPtr plan = NULL;
	OwnQuery		  query;

	own_query_begin(&query);
	(void) run_for_ids(&plan,
					   "UPDATE featul_integrations.mark SET was_visible = false"
					   " WHERE source = $1 AND id = ANY ($2) RETURNING id",
					   SPI_OK_UPDATE_RETURNING, source, ids, count);
	own_query_end(&query);
}

/* See mark.h. */
void
marks_hidden(Source source, const Text *ids, int count, bool *marked)
{
	static SPIPlanPtr plan = NULL;
	OwnQuery		  query;
	Text			 *returned;

	own_query_begin(&query);
	returned = run_for_ids(&plan,
						   "SELECT id FROM featul_integrations.mark"
						   " WHERE source = $1 AND id = ANY ($2) AND was_visible",
						   SPI_OK_SELECT, source, ids, count);
	for (int i = 0; i < count; i++)
		marked[i] = is_returned(returned, ids[i]);
	own_query_end(&query);
}

/* Marks these milestones, inside a query; it returns the ids of those that are new. */
static void
write_milestones(const Text *ids, Datum *heights, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = { TEXTARRAYOID, INT4ARRAYOID };
	Datum			  arguments[2];

	own_query_prepare(
		&plan,
		"INSERT INTO featul_integrations.mark (source, id, milestone)"
		" SELECT 'post', i, pg_catalog.max(m)"
		" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u (i, m)"
		" GROUP BY i"
		" ON CONFLICT (source, id) DO UPDATE SET milestone = excluded.milestone"
		" WHERE mark.milestone < excluded.milestone"
		" RETURNING id",
		2, types);
	arguments[0] = mark_keys(ids, count);
	arguments[1] = PointerGetDatum(
		construct_array(heights, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	own_query_run(plan, arguments, SPI_OK_INSERT_RETURNING);
}

/* See mark.h. */
List *
mark_milestones(List *events)
{
	Text	 *ids = palloc(list_length(events) * sizeof(Text));
	Datum	 *heights = palloc(list_length(events) * sizeof(Datum));
	List	 *kept = NIL;
	ListCell *cell;
	OwnQuery  query;
	Text	 *returned;
	int		  count = 0;

	foreach (cell, events)
	{
		const NewEvent *event = lfirst(cell);

		if (event->milestone == 0)
			continue;
		ids[count] = event->post_id;
		heights[count++] = Int32GetDatum(event->milestone);
	}
	if (count == 0)
		return events;
	own_query_begin(&query);
	write_milestones(ids, heights, count);
	returned = returned_ids();
	foreach (cell, events)
	{
		NewEvent *event = lfirst(cell);

		if (event->milestone == 0 || is_returned(returned, event->post_id))
		{
			MemoryContext inside = MemoryContextSwitchTo(query.memory);

			kept = lappend(kept, event);
			MemoryContextSwitchTo(inside);
		}
	}
	own_query_end(&query);
	return kept;
}
