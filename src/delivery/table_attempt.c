/*
 * table_attempt.c
 *		Writing down what attempts came to: the log, and the end or new state of
 *		the rows of queue.
 *
 * What a settlement says is decided elsewhere (outcome.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "base/own_table.h"
#include "delivery/statement.h"
#include "delivery/table_attempt.h"

/* The columns of attempt, as the install script creates them */
enum
{
	ATTEMPT_PARTITION,
	ATTEMPT_WORKSPACE_ID,
	ATTEMPT_DELIVERY_ID,
	ATTEMPT_INTEGRATION_ID,
	ATTEMPT_TYPE,
	ATTEMPT_EVENT_PARTITION,
	ATTEMPT_EVENT_ID,
	ATTEMPT_STATE,
	ATTEMPT_ATTEMPTS,
	ATTEMPT_HTTP_STATUS,
	ATTEMPT_ERROR,
	ATTEMPT_DURATION_MS,
	ATTEMPT_RESPONSE,
	ATTEMPT_AT,
	ATTEMPT_NEXT_ATTEMPT_AT,
	ATTEMPT_COLUMNS
};

static void
put(TupleTableSlot *row, int column, Datum value)
{
	row->tts_values[column] = value;
	row->tts_isnull[column] = false;
}

static void
put_text(TupleTableSlot *row, int column, const char *text)
{
	if (text)
		put(row, column, CStringGetTextDatum(text));
}

/* Fills in a row of attempt. */
static void
put_attempt(TupleTableSlot *row, int16 partition, const Settlement *settlement)
{
	put(row, ATTEMPT_PARTITION, Int16GetDatum(partition));
	put_text(row, ATTEMPT_WORKSPACE_ID, settlement->workspace_id);
	put(row, ATTEMPT_DELIVERY_ID, Int64GetDatum(settlement->id));
	put(row, ATTEMPT_INTEGRATION_ID, UUIDPGetDatum(&settlement->integration_id));
	put_text(row, ATTEMPT_TYPE, settlement->type);
	put(row, ATTEMPT_EVENT_PARTITION, Int16GetDatum(settlement->event.partition));
	put(row, ATTEMPT_EVENT_ID, Int64GetDatum(settlement->event.id));
	put_text(row, ATTEMPT_STATE, settlement->state);
	put(row, ATTEMPT_ATTEMPTS, Int32GetDatum(settlement->attempts));
	if (settlement->http_status != 0)
		put(row, ATTEMPT_HTTP_STATUS, Int32GetDatum(settlement->http_status));
	put_text(row, ATTEMPT_ERROR, settlement->error);
	if (settlement->duration_ms >= 0)
		put(row, ATTEMPT_DURATION_MS, Int32GetDatum(settlement->duration_ms));
	put_text(row, ATTEMPT_RESPONSE, settlement->response);
	put(row, ATTEMPT_AT, TimestampTzGetDatum(settlement->at));
	if (settlement->next_attempt_at != 0)
		put(row, ATTEMPT_NEXT_ATTEMPT_AT,
			TimestampTzGetDatum(settlement->next_attempt_at));
}

/* Writes the log. */
static void
log_attempts(List *settlements)
{
	int16	  partition = own_table_current_partition(own_table_oid("rotation"));
	Appender *appender =
		appender_open(own_table_oid(psprintf("attempt_%d", partition)), ATTEMPT_COLUMNS);
	ListCell *cell;

	foreach (cell, settlements)
		put_attempt(appender_next(appender), partition, lfirst(cell));
	appender_close(appender);
}

/*
 * What the statements below are given of a settlement, and as o the row of queue that
 * it is of: only that version of it that was sent.
 */
static const Oid settled_types[] = { UUIDOID, INT8OID, XID8OID, INT4OID, TIMESTAMPTZOID };

#define SETTLED_ROW                                                                      \
	" CROSS JOIN LATERAL (SELECT q.ctid FROM featul_integrations.queue q"                \
	" WHERE q.integration_id = s.integration_id AND q.id = s.id"                         \
	" AND q.xid IS NOT DISTINCT FROM s.xid OFFSET 0) o"

/* Runs a statement for those settlements that end their row, or for those that do not. */
static void
run_for(Statement *statement, List *settlements, bool ends, int expected)
{
	Columns	  columns;
	ListCell *cell;
	int		  n = 0;

	columns_init(&columns, lengthof(settled_types), list_length(settlements));
	foreach (cell, settlements)
	{
		const Settlement *settlement = lfirst(cell);

		Assert(!settlement->ends || settlement->next_attempt_at == 0);
		if (settlement->ends != ends)
			continue;
		columns.values[0][n] = UUIDPGetDatum(&settlement->integration_id);
		columns.values[1][n] = Int64GetDatum(settlement->id);
		columns.values[2][n] = UInt64GetDatum(settlement->xid);
		columns.values[3][n] = Int32GetDatum(settlement->attempts);
		columns_set_time(&columns, 4, n, settlement->next_attempt_at);
		n++;
	}
	columns.count = n;
	if (n > 0)
		statement_run_columns(statement, &columns, settled_types, expected);
}

/* Deletes the rows that are settled. */
static void
delete_settled(List *settlements)
{
	static Statement delete = {
		"DELETE FROM featul_integrations.queue WHERE ctid = ANY (ARRAY(SELECT o.ctid"
		" FROM unnest($1, $2, $3) s (integration_id, id, xid)" SETTLED_ROW "))",
		3,
		{ UUIDARRAYOID, INT8ARRAYOID, XID8ARRAYOID }
	};

	run_for(&delete, settlements, true, SPI_OK_DELETE);
}

/* Writes down how often and until when the others have to wait. */
static void
update_waiting(List *settlements)
{
	static Statement update = {
		"UPDATE featul_integrations.queue q SET attempts = r.attempts,"
		" next_attempt_at = r.next_attempt_at"
		" FROM (SELECT o.ctid, s.attempts, s.next_attempt_at"
		" FROM unnest($1, $2, $3, $4, $5) s (integration_id, id, xid, attempts, next_attempt_at)" SETTLED_ROW
		") r WHERE q.ctid = r.ctid",
		5,
		{ UUIDARRAYOID, INT8ARRAYOID, XID8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID }
	};

	run_for(&update, settlements, false, SPI_OK_UPDATE);
}

/* See table_attempt.h. */
void
attempt_record(List *settlements)
{
	log_attempts(settlements);
	delete_settled(settlements);
	update_waiting(settlements);
}
