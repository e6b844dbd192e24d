/*
 * retract.c
 *		Taking back what has been told of rows that nobody could ever see.
 *
 * A statement is captured when it ends, which may be before another part of the same
 * statement, or one around it, hides what it has made visible.  What it has told is in this
 * transaction's queue, and nobody knows of it yet: so it is taken out.  The event stays
 * where it is, told to nobody, until its partition is emptied.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "base/own_query.h"
#include "capture/retract.h"

/* Takes entries (a list of Told *) out of the queue. */
static void
delete_entries(const List *told)
{
	static SPIPlanPtr plan = NULL;
	Oid				  types[] = { UUIDARRAYOID, INT8ARRAYOID };
	int				  count = list_length(told);
	Datum			 *integrations = palloc(Max(count, 1) * sizeof(Datum));
	Datum			 *ids = palloc(Max(count, 1) * sizeof(Datum));
	Datum			  arguments[2];
	OwnQuery		  query;
	ListCell		 *cell;

	if (count == 0)
		return;
	foreach (cell, told)
	{
		Told *entry = lfirst(cell);

		integrations[foreach_current_index(cell)] = UUIDPGetDatum(&entry->integration);
		ids[foreach_current_index(cell)] = Int64GetDatum(entry->id);
	}
	own_query_begin(&query);
	own_query_prepare(&plan,
					  "DELETE FROM featul_integrations.queue q"
					  " USING ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))"
					  " AS u (integration_id, id)"
					  " WHERE q.integration_id = u.integration_id AND q.id = u.id",
					  2, types);
	arguments[0] = PointerGetDatum(
		construct_array(integrations, count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	arguments[1] = PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64),
												   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	own_query_run(plan, arguments, SPI_OK_DELETE);
	own_query_end(&query);
}

/* See retract.h. */
void
retract_all(Source source, const Text *ids, int count)
{
	List *told = NIL;
	bool  first;

	for (int i = 0; i < count; i++)
		told = list_concat(told, nesting_told(source, ids[i], &first));
	delete_entries(told);
}

/* See retract.h. */
int
retract_announced(Source source, Text *ids, int count)
{
	List *told = NIL;
	int	  n_taken = 0;

	for (int i = 0; i < count; i++)
	{
		bool  first;
		List *about = nesting_told(source, ids[i], &first);

		if (!first)
			continue;
		told = list_concat(told, about);
		ids[n_taken++] = ids[i];
	}
	delete_entries(told);
	return n_taken;
}

/* See retract.h. */
void
retract_first(Nesting nesting, Source source, const Text *ids, int count)
{
	List *told = NIL;

	for (int i = 0; i < count; i++)
		told = list_concat(told, nesting_told_first_inside(nesting, source, ids[i]));
	delete_entries(told);
}
