/*
 * queue.c
 *		The worker's view of the tables, through SPI.  Knows no libcurl.
 *
 * New work is what was committed between two snapshots: rows whose xid is not
 * below the old snapshot's xmax, and those of the transactions that were
 * running then and are not any more.  That is exact even if a lower id commits
 * later, and never reads the dead rows that an old snapshot keeps.
 *
 * Statements are prepared once and kept.  Each is written so that there is but
 * one way to run it: through an index, from the few rows that are given (OFFSET 0
 * keeps them outside, IS NOT DISTINCT FROM keeps the index on xid out of it),
 * since statistics can be of a time when the tables were empty.  Those that change
 * rows which a session could hold locked (integration, health) skip what is
 * locked; rows of queue are the worker's own.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "base/own_table.h"
#include "base/compat.h"
#include "delivery/queue.h"
#include "base/settings.h"

#define MAX_PARAMETERS 16

/* A statement, prepared when it is first used. */
typedef struct Statement
{
	const char *sql;
	int			count;
	Oid			types[MAX_PARAMETERS];
	SPIPlanPtr	plan;
} Statement;

/* Where reading has come to: the last snapshot. */
typedef struct Position
{
	uint64	xmax;
	int		count;
	int		room;
	uint64 *running; /* transactions that were running, ascending */
} Position;

const int queue_latency_bounds[LATENCY_BUCKETS - 1] = { 10,	 25,   50,	 100,  250,
														500, 1000, 2500, 5000, 10000 };

FEATUL_FUNCTION(featul_latency_bounds);

static Position position;
static Position next_position; /* becomes position at queue_commit() */
static bool		advance = false;

static MemoryContext result_context = NULL;

/* See queue.h. */
void
queue_init(void)
{
	static const char *const settings[][2] = {
		/* catalogs first, whatever ALTER ROLE or ALTER DATABASE say */
		{ "search_path", "pg_catalog, pg_temp" },
		/* nobody's transaction may stop us for long */
		{ "lock_timeout", "1s" },
		{ "statement_timeout", "0" },
		{ "idle_in_transaction_session_timeout", "0" },
		{ "default_transaction_isolation", "read committed" },
		{ "default_transaction_read_only", "off" },
		{ "session_replication_role", "origin" },
		{ "row_security", "on" },
		/* a lost settlement only means that something is sent again */
		{ "synchronous_commit", "off" },
		/* few rows through an index, whatever the statistics of the moment */
		{ "plan_cache_mode", "force_generic_plan" },
		{ "enable_seqscan", "off" },
		{ "enable_bitmapscan", "off" },
		{ "enable_hashjoin", "off" },
		{ "enable_mergejoin", "off" },
		{ "max_parallel_workers_per_gather", "0" },
		{ "jit", "off" },
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* See queue.h. */
void
queue_begin(const char *activity)
{
	Assert(!IsTransactionState());
	result_context = CurrentMemoryContext;
	advance = false;
	pgstat_report_activity(STATE_RUNNING, activity);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* See queue.h. */
void
queue_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (advance)
	{
		Position old = position;

		position = next_position;
		next_position = old;
		advance = false;
	}
	MemoryContextSwitchTo(result_context);
	pgstat_report_stat(false);
}

/* Runs a statement; its result must be the expected one. */
static void
execute(Statement *statement, Datum *values, const char *nulls, int expected, long limit)
{
	int result;

	if (statement->plan == NULL)
	{
		SPIPlanPtr plan = SPI_prepare(statement->sql, statement->count, statement->types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	result = SPI_execute_plan(statement->plan, values, nulls, expected == SPI_OK_SELECT,
							  limit);
	if (result != expected)
		elog(ERROR, "\"%s\" returned %s", statement->sql, SPI_result_code_string(result));
}

/* A column of a row of the last result; Datum 0 and *null set if NULL. */
static Datum
column(int row, int number, bool *null)
{
	bool  is_null;
	Datum value;

	Assert(row < SPI_processed && number <= SPI_tuptable->tupdesc->natts);
	value =
		SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &is_null);
	if (null)
		*null = is_null;
	return is_null ? (Datum) 0 : value;
}

/* A text column in the result context; NULL if NULL. */
static char *
text_column(int row, int number)
{
	bool		  null;
	Datum		  value = column(row, number, &null);
	MemoryContext old_context;
	char		 *result;

	if (null)
		return NULL;
	old_context = MemoryContextSwitchTo(result_context);
	result = TextDatumGetCString(value);
	MemoryContextSwitchTo(old_context);
	return result;
}

/* A uuid column, copied. */
static pg_uuid_t
uuid_column(int row, int number)
{
	bool  null;
	Datum value = column(row, number, &null);

	if (null)
		elog(ERROR, "column %d of the queue's result is NULL", number);
	return *DatumGetUUIDP(value);
}

/* See queue.h. */
bool
queue_has_extension(void)
{
	return OidIsValid(get_extension_oid("featul_integrations", true));
}

/* ------------------------------------------------------------------------
 * Integrations
 * ------------------------------------------------------------------------ */

/* See queue.h. */
Integrations
queue_integrations(void)
{
	static Statement select = {
		"SELECT i.id, i.workspace_id, i.type, i.webhook_url, i.secret, i.previous_secret,"
		" i.previous_secret_until, i.is_active, coalesce(h.database = $1, false),"
		" i.inactive_reason, i.updated_at, coalesce(h.failures, 0), h.failing_since, h.held_since,"
		" h.hold_until"
		" FROM featul_integrations.integration i"
		" LEFT JOIN featul_integrations.health h ON h.integration_id = i.id",
		1,
		{ OIDOID }
	};
	Datum		 values[1] = { ObjectIdGetDatum(MyDatabaseId) };
	Integrations result;

	execute(&select, values, NULL, SPI_OK_SELECT, 0);
	result.count = SPI_processed;
	result.rows =
		MemoryContextAllocHuge(result_context, (SPI_processed + 1) * sizeof(Integration));
	for (int i = 0; i < result.count; i++)
	{
		Integration *row = &result.rows[i];

		row->id = uuid_column(i, 1);
		row->workspace_id = text_column(i, 2);
		row->type = text_column(i, 3);
		row->webhook_url = text_column(i, 4);
		row->secret = text_column(i, 5);
		row->previous_secret = text_column(i, 6);
		row->previous_secret_until = DatumGetTimestampTz(column(i, 7, NULL));
		row->is_active = DatumGetBool(column(i, 8, NULL));
		row->is_ours = DatumGetBool(column(i, 9, NULL));
		row->inactive_reason = text_column(i, 10);
		row->updated_at = DatumGetTimestampTz(column(i, 11, NULL));
		row->failures = DatumGetInt32(column(i, 12, NULL));
		row->failing_since = DatumGetTimestampTz(column(i, 13, NULL));
		row->held_since = DatumGetTimestampTz(column(i, 14, NULL));
		row->hold_until = DatumGetTimestampTz(column(i, 15, NULL));
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/* See queue.h. */
Deactivation
queue_deactivate(const pg_uuid_t *integration_id, TimestampTz updated_at,
				 const char *reason)
{
	static Statement update = {
		"WITH mine AS (SELECT id FROM featul_integrations.integration"
		" WHERE id = $1 AND updated_at = $2 AND is_active FOR NO KEY UPDATE SKIP LOCKED)"
		" UPDATE featul_integrations.integration i"
		" SET is_active = false, inactive_reason = $3 FROM mine WHERE i.id = mine.id",
		3,
		{ UUIDOID, TIMESTAMPTZOID, TEXTOID }
	};
	static Statement locked = { "SELECT FROM featul_integrations.integration"
								" WHERE id = $1 AND updated_at = $2 AND is_active",
								2,
								{ UUIDOID, TIMESTAMPTZOID } };
	Datum values[3] = { UUIDPGetDatum(integration_id), TimestampTzGetDatum(updated_at),
						CStringGetTextDatum(reason) };

	execute(&update, values, NULL, SPI_OK_UPDATE, 0);
	if (SPI_processed > 0)
		return DEACTIVATION_DONE;
	execute(&locked, values, NULL, SPI_OK_SELECT, 1);
	return SPI_processed > 0 ? DEACTIVATION_LOCKED : DEACTIVATION_DONE;
}

/* See queue.h. */
void
queue_forget(const pg_uuid_t *integration_id)
{
	static Statement delete = {
		"WITH gone AS ("
		"DELETE FROM featul_integrations.health h WHERE h.integration_id IN"
		" (SELECT l.integration_id FROM featul_integrations.health l WHERE l.integration_id = $1"
		" FOR UPDATE SKIP LOCKED)"
		" AND NOT EXISTS (SELECT FROM featul_integrations.integration i WHERE i.id = $1)"
		" AND NOT EXISTS (SELECT FROM featul_integrations.queue q WHERE q.integration_id = $1)"
		" RETURNING h.*)"
		" INSERT INTO featul_integrations.total AS t"
		" (database, type, delivered, failed, retried, latency, latency_sum_ms)"
		" SELECT g.database, g.type, g.delivered, g.failed, g.retried, g.latency, g.latency_sum_ms"
		" FROM gone g WHERE g.type IS NOT NULL"
		" ON CONFLICT (database, type) DO UPDATE SET delivered = t.delivered + excluded.delivered,"
		" failed = t.failed + excluded.failed, retried = t.retried + excluded.retried,"
		" latency = featul_integrations.latency_add(t.latency, excluded.latency),"
		" latency_sum_ms = t.latency_sum_ms + excluded.latency_sum_ms",
		1,
		{ UUIDOID }
	};
	Datum values[1] = { UUIDPGetDatum(integration_id) };

	execute(&delete, values, NULL, SPI_OK_INSERT, 0);
}

/* ------------------------------------------------------------------------
 * Reading what is pending
 * ------------------------------------------------------------------------ */

#define ROW_COLUMNS                                                                      \
	"integration_id, id, xid, event_slot, event_id, post_id, attempts, next_attempt_at"

/* Appends the last result's rows, which have ROW_COLUMNS, and frees it. */
static void
take_rows(QueueRows *rows)
{
	int count = SPI_processed;

	if (rows->rows == NULL)
		rows->rows =
			MemoryContextAllocHuge(result_context, (count + 1) * sizeof(QueueRow));
	else
		rows->rows =
			repalloc_huge(rows->rows, (rows->count + count + 1) * sizeof(QueueRow));
	for (int i = 0; i < count; i++)
	{
		QueueRow *row = &rows->rows[rows->count++];
		text	 *post = DatumGetTextPP(column(i, 6, NULL));

		row->integration_id = uuid_column(i, 1);
		row->id = DatumGetInt64(column(i, 2, NULL));
		row->xid =
			U64FromFullTransactionId(DatumGetFullTransactionId(column(i, 3, NULL)));
		row->event_slot = DatumGetInt16(column(i, 4, NULL));
		row->event_id = DatumGetInt64(column(i, 5, NULL));
		row->post = hash_bytes_extended((unsigned char *) VARDATA_ANY(post),
										VARSIZE_ANY_EXHDR(post), 0);
		row->attempts = DatumGetInt32(column(i, 7, NULL));
		row->next_attempt_at = DatumGetTimestampTz(column(i, 8, NULL));
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Takes the last result, (integration_id, id), and frees it. */
static QueueMarks
take_marks(void)
{
	QueueMarks result;

	result.count = SPI_processed;
	result.marks =
		MemoryContextAllocHuge(result_context, (SPI_processed + 1) * sizeof(QueueMark));
	for (int i = 0; i < result.count; i++)
	{
		result.marks[i].integration_id = uuid_column(i, 1);
		result.marks[i].id = DatumGetInt64(column(i, 2, NULL));
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/* A snapshot's 32-bit xid in full, as pg_current_snapshot() does it. */
static uint64
full_xid(TransactionId xid, FullTransactionId next)
{
	uint32 epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static int
compare_xids(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* The active snapshot becomes the position when this transaction commits. */
static void
take_position(void)
{
	Snapshot		  snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();

	next_position.xmax = full_xid(snapshot->xmax, next);
	if (next_position.room < (int) snapshot->xcnt)
	{
		if (next_position.running)
			pfree(next_position.running);
		next_position.running = NULL;
		next_position.room = 0;
		next_position.running =
			MemoryContextAlloc(TopMemoryContext, snapshot->xcnt * sizeof(uint64));
		next_position.room = snapshot->xcnt;
	}
	next_position.count = snapshot->xcnt;
	for (int i = 0; i < next_position.count; i++)
		next_position.running[i] = full_xid(snapshot->xip[i], next);
	qsort(next_position.running, next_position.count, sizeof(uint64), compare_xids);
	advance = true;
}

/* See queue.h. */
QueueMarks
queue_read_pending(void)
{
	/* a loose index scan: one step per integration, however many rows */
	static Statement select = {
		"WITH RECURSIVE lane (integration_id) AS ("
		" (SELECT q.integration_id FROM featul_integrations.queue q"
		" ORDER BY q.integration_id LIMIT 1)"
		" UNION ALL"
		" SELECT (SELECT q.integration_id FROM featul_integrations.queue q"
		" WHERE q.integration_id > lane.integration_id ORDER BY q.integration_id LIMIT 1)"
		" FROM lane WHERE lane.integration_id IS NOT NULL)"
		" SELECT lane.integration_id, 0::bigint FROM lane WHERE lane.integration_id IS NOT NULL"
	};

	take_position();
	execute(&select, NULL, NULL, SPI_OK_SELECT, 0);
	return take_marks();
}

/* The transactions of the old position that are not running any more (xid8[]). */
static Datum
ended_transactions(int *count)
{
	Datum *ended = palloc(Max(position.count, 1) * sizeof(Datum));
	int	   n = 0, j = 0;

	for (int i = 0; i < position.count; i++)
	{
		while (j < next_position.count && next_position.running[j] < position.running[i])
			j++;
		if (j == next_position.count || next_position.running[j] != position.running[i])
			ended[n++] =
				FullTransactionIdGetDatum(FullTransactionIdFromU64(position.running[i]));
	}
	*count = n;
	return PointerGetDatum(
		construct_array(ended, n, XID8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static int
compare_rows(const void *a, const void *b)
{
	int64 x = ((const QueueRow *) a)->id;
	int64 y = ((const QueueRow *) b)->id;

	return x < y ? -1 : x > y;
}

/* See queue.h. */
QueueRows
queue_read_new(int limit, QueueMarks *marks)
{
	static Statement newer = { "SELECT " ROW_COLUMNS
							   " FROM featul_integrations.queue WHERE xid >= $1",
							   1,
							   { XID8OID } };
	static Statement ended = { "SELECT " ROW_COLUMNS
							   " FROM featul_integrations.queue WHERE xid = ANY ($1)",
							   1,
							   { XID8ARRAYOID } };
	static Statement summary = {
		"SELECT integration_id, min(id) FROM (SELECT integration_id, id"
		" FROM featul_integrations.queue WHERE xid >= $1"
		" UNION ALL SELECT integration_id, id FROM featul_integrations.queue"
		" WHERE xid = ANY ($2) OFFSET 0) q GROUP BY integration_id",
		2,
		{ XID8OID, XID8ARRAYOID }
	};
	QueueRows result = { 0 };
	Datum	  values[2];
	int		  n_ended;

	marks->count = 0;
	take_position();
	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(position.xmax));
	values[1] = ended_transactions(&n_ended);

	if (next_position.xmax > position.xmax)
	{
		execute(&newer, &values[0], NULL, SPI_OK_SELECT, limit + 1);
		take_rows(&result);
	}
	if (result.count <= limit && n_ended > 0)
	{
		execute(&ended, &values[1], NULL, SPI_OK_SELECT, limit + 1);
		take_rows(&result);
	}
	if (result.count > limit)
	{
		pfree(result.rows);
		result.rows = NULL;
		result.count = 0;
		execute(&summary, values, NULL, SPI_OK_SELECT, 0);
		*marks = take_marks();
	}
	if (result.count > 1)
		qsort(result.rows, result.count, sizeof(QueueRow), compare_rows);
	return result;
}

/* See queue.h. */
QueueRows
queue_read_lane(const pg_uuid_t *integration_id, int64 after, int limit)
{
	static Statement select = {
		"SELECT " ROW_COLUMNS " FROM featul_integrations.queue"
		" WHERE integration_id = $1 AND id > $2 ORDER BY id LIMIT $3",
		3,
		{ UUIDOID, INT8OID, INT8OID }
	};
	QueueRows result = { 0 };
	Datum	  values[3] = { UUIDPGetDatum(integration_id), Int64GetDatum(after),
							Int64GetDatum(limit) };

	execute(&select, values, NULL, SPI_OK_SELECT, 0);
	take_rows(&result);
	return result;
}

/* ------------------------------------------------------------------------
 * Arrays as parameters
 * ------------------------------------------------------------------------ */

/* An array of a type out of count values; nulls may be NULL. */
static Datum
array_datum(Datum *values, bool *nulls, int count, Oid type)
{
	int16 length;
	bool  by_value;
	char  align;
	int	  dimensions[1] = { count };
	int	  bounds[1] = { 1 };

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, dimensions, bounds, type,
											  length, by_value, align));
}

/* Columns of parameters: one array per parameter, a value per row. */
typedef struct Columns
{
	int	   count; /* rows */
	Datum *values[MAX_PARAMETERS];
	bool  *nulls[MAX_PARAMETERS];
} Columns;

static void
columns_init(Columns *columns, int parameters, int count)
{
	columns->count = count;
	for (int i = 0; i < parameters; i++)
	{
		columns->values[i] = palloc(count * sizeof(Datum));
		columns->nulls[i] = palloc0(count * sizeof(bool));
	}
}

static void
set_text(Columns *columns, int parameter, int row, const char *text)
{
	columns->nulls[parameter][row] = text == NULL;
	columns->values[parameter][row] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

static void
set_time(Columns *columns, int parameter, int row, TimestampTz at)
{
	columns->nulls[parameter][row] = at == 0;
	columns->values[parameter][row] = TimestampTzGetDatum(at);
}

static void
set_int(Columns *columns, int parameter, int row, int value, int null_value)
{
	columns->nulls[parameter][row] = value == null_value;
	columns->values[parameter][row] = Int32GetDatum(value);
}

/* Runs a statement all of whose parameters are arrays, given their elements' types. */
static void
execute_columns(Statement *statement, Columns *columns, const Oid *element_types,
				int expected)
{
	Datum values[MAX_PARAMETERS];

	for (int i = 0; i < statement->count; i++)
		values[i] = array_datum(columns->values[i], columns->nulls[i], columns->count,
								element_types[i]);
	execute(statement, values, NULL, expected, 0);
}

/* ------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------ */

/* See queue.h. */
void
queue_events(const EventKey *keys, int											count,
			 void (*take)(int index, const Event *event, void *argument), void *argument)
{
	static const Oid types[] = { INT2OID, INT8OID };
	static Statement select = {
		"SELECT k.n::integer, e.name, e.webhook_id, e.payload, e.context, e.created_at"
		" FROM unnest($1, $2) WITH ORDINALITY k (slot, id, n) CROSS JOIN LATERAL"
		" (SELECT * FROM featul_integrations.event WHERE slot = k.slot AND id = k.id OFFSET 0) e",
		2,
		{ INT2ARRAYOID, INT8ARRAYOID }
	};
	Columns				 columns;
	SPITupleTable		*table;
	int					 found;
	static MemoryContext event_context = NULL;
	MemoryContext		 spi_context = CurrentMemoryContext;

	if (event_context == NULL)
		event_context = AllocSetContextCreate(
			TopMemoryContext, "featul_integrations event", ALLOCSET_DEFAULT_SIZES);

	columns_init(&columns, 2, count);
	for (int i = 0; i < count; i++)
	{
		columns.values[0][i] = Int16GetDatum(keys[i].slot);
		columns.values[1][i] = Int64GetDatum(keys[i].id);
	}
	execute_columns(&select, &columns, types, SPI_OK_SELECT);
	table = SPI_tuptable;
	found = SPI_processed;

	/* a payload is detoasted only now, one at a time: they can be large */
	for (int i = 0; i < found; i++)
	{
		HeapTuple tuple = table->vals[i];
		TupleDesc descriptor = table->tupdesc;
		Event	  event = { 0 };
		char	  webhook_id[64];
		char	 *uuid;
		bool	  null;
		Datum	  value;

		MemoryContextReset(event_context);
		MemoryContextSwitchTo(event_context);
		value = SPI_getbinval(tuple, descriptor, 3, &null);
		uuid = DatumGetCString(DirectFunctionCall1(uuid_out, value));
		snprintf(webhook_id, sizeof(webhook_id), "msg_%s", uuid);
		event.webhook_id = webhook_id;
		event.name = TextDatumGetCString(SPI_getbinval(tuple, descriptor, 2, &null));
		event.payload = TextDatumGetCString(SPI_getbinval(tuple, descriptor, 4, &null));
		value = SPI_getbinval(tuple, descriptor, 5, &null);
		event.context = null ? NULL : TextDatumGetCString(value);
		event.created_at =
			DatumGetTimestampTz(SPI_getbinval(tuple, descriptor, 6, &null));
		take(DatumGetInt32(SPI_getbinval(tuple, descriptor, 1, &null)) - 1, &event,
			 argument);
		MemoryContextSwitchTo(spi_context);
	}
	SPI_freetuptable(table);
}

/* See queue.h. */
char **
queue_event_names(const EventKey *keys, int count)
{
	static const Oid types[] = { INT2OID, INT8OID };
	static Statement select = {
		"SELECT k.n::integer, e.name"
		" FROM unnest($1, $2) WITH ORDINALITY k (slot, id, n) CROSS JOIN LATERAL"
		" (SELECT name FROM featul_integrations.event WHERE slot = k.slot AND id = k.id OFFSET 0) e",
		2,
		{ INT2ARRAYOID, INT8ARRAYOID }
	};
	Columns columns;
	char  **names = MemoryContextAllocZero(result_context, count * sizeof(char *));

	columns_init(&columns, 2, count);
	for (int i = 0; i < count; i++)
	{
		columns.values[0][i] = Int16GetDatum(keys[i].slot);
		columns.values[1][i] = Int64GetDatum(keys[i].id);
	}
	execute_columns(&select, &columns, types, SPI_OK_SELECT);
	for (int i = 0; i < SPI_processed; i++)
		names[DatumGetInt32(column(i, 1, NULL)) - 1] = text_column(i, 2);
	SPI_freetuptable(SPI_tuptable);
	return names;
}

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

/* The columns of attempt, as the install script creates them */
enum
{
	ATTEMPT_SLOT,
	ATTEMPT_WORKSPACE_ID,
	ATTEMPT_DELIVERY_ID,
	ATTEMPT_INTEGRATION_ID,
	ATTEMPT_TYPE,
	ATTEMPT_EVENT_SLOT,
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
put_attempt(TupleTableSlot *row, int16 slot, const Settlement *settlement)
{
	Assert(row->tts_tupleDescriptor->natts == ATTEMPT_COLUMNS);
	put(row, ATTEMPT_SLOT, Int16GetDatum(slot));
	put_text(row, ATTEMPT_WORKSPACE_ID, settlement->workspace_id);
	put(row, ATTEMPT_DELIVERY_ID, Int64GetDatum(settlement->id));
	put(row, ATTEMPT_INTEGRATION_ID, UUIDPGetDatum(&settlement->integration_id));
	put_text(row, ATTEMPT_TYPE, settlement->type);
	put(row, ATTEMPT_EVENT_SLOT, Int16GetDatum(settlement->event_slot));
	put(row, ATTEMPT_EVENT_ID, Int64GetDatum(settlement->event_id));
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
log_attempts(Settlement *const *settlements, int count)
{
	int16	  slot = append_current_slot(append_relation("rotation"));
	Appender *appender = append_open(append_relation(psprintf("attempt_%d", slot)));

	for (int i = 0; i < count; i++)
		put_attempt(append_row(appender), slot, settlements[i]);
	append_close(appender);
}

/* Deletes the rows that are settled; only that version of them that was sent. */
static void
delete_settled(Settlement *const *settlements, int count)
{
	static const Oid types[] = { UUIDOID, INT8OID, XID8OID };
	static Statement delete = {
		"DELETE FROM featul_integrations.queue WHERE ctid = ANY (ARRAY(SELECT r.ctid"
		" FROM unnest($1, $2, $3) s (integration_id, id, xid) CROSS JOIN LATERAL"
		" (SELECT q.ctid FROM featul_integrations.queue q WHERE q.integration_id = s.integration_id"
		" AND q.id = s.id AND q.xid IS NOT DISTINCT FROM s.xid OFFSET 0) r))",
		3,
		{ UUIDARRAYOID, INT8ARRAYOID, XID8ARRAYOID }
	};
	Columns columns;
	int		n = 0;

	columns_init(&columns, 3, count);
	for (int i = 0; i < count; i++)
	{
		Assert(!settlements[i]->ends || settlements[i]->next_attempt_at == 0);
		if (!settlements[i]->ends)
			continue;
		columns.values[0][n] = UUIDPGetDatum(&settlements[i]->integration_id);
		columns.values[1][n] = Int64GetDatum(settlements[i]->id);
		columns.values[2][n] = UInt64GetDatum(settlements[i]->xid);
		n++;
	}
	columns.count = n;
	if (n > 0)
		execute_columns(&delete, &columns, types, SPI_OK_DELETE);
}

/* Writes down how often and until when the others have to wait. */
static void
update_waiting(Settlement *const *settlements, int count)
{
	static Statement update = {
		"UPDATE featul_integrations.queue SET attempts = $4, next_attempt_at = $5"
		" WHERE integration_id = $1 AND id = $2 AND xid IS NOT DISTINCT FROM $3",
		5,
		{ UUIDOID, INT8OID, XID8OID, INT4OID, TIMESTAMPTZOID }
	};

	for (int i = 0; i < count; i++)
	{
		const Settlement *settlement = settlements[i];
		Datum			  values[5] = { UUIDPGetDatum(&settlement->integration_id),
										Int64GetDatum(settlement->id),
										UInt64GetDatum(settlement->xid),
										Int32GetDatum(settlement->attempts),
										TimestampTzGetDatum(settlement->next_attempt_at) };

		if (!settlement->ends)
			execute(&update, values, settlement->next_attempt_at == 0 ? "    n" : NULL,
					SPI_OK_UPDATE, 0);
	}
}

/* See queue.h. */
void
queue_settle(Settlement *const *settlements, int count)
{
	log_attempts(settlements, count);
	delete_settled(settlements, count);
	update_waiting(settlements, count);
}

/* featul_integrations.latency_bounds() */
Datum
featul_latency_bounds(PG_FUNCTION_ARGS)
{
	Datum bounds[LATENCY_BUCKETS - 1];

	for (int i = 0; i < lengthof(bounds); i++)
		bounds[i] = Int32GetDatum(queue_latency_bounds[i]);
	PG_RETURN_DATUM(array_datum(bounds, NULL, lengthof(bounds), INT4OID));
}

/* The counts of a change as an array's text. */
static char *
latency_text(const HealthChange *change)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < LATENCY_BUCKETS; i++)
		appendStringInfo(&text, "%c" INT64_FORMAT, i == 0 ? '{' : ',',
						 change->latency[i]);
	appendStringInfoChar(&text, '}');
	return text.data;
}

/* Saves one; false if there is a row for it that somebody has locked. */
static bool
save_health(const HealthChange *change)
{
	static Statement update = {
		"UPDATE featul_integrations.health SET"
		" last_triggered_at = coalesce($2, last_triggered_at), failures = $3,"
		" failing_since = $4, held_since = $5, hold_until = $6,"
		" last_http_status = $7, last_error = $8, delivered = delivered + $9,"
		" failed = failed + $10, retried = retried + $11,"
		" latency = featul_integrations.latency_add(latency, $12::bigint[]),"
		" latency_sum_ms = latency_sum_ms + $13"
		" WHERE integration_id = (SELECT integration_id FROM featul_integrations.health"
		" WHERE integration_id = $1 FOR NO KEY UPDATE SKIP LOCKED)",
		13,
		{ UUIDOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		  TIMESTAMPTZOID, INT4OID, TEXTOID, INT8OID, INT8OID, INT8OID, TEXTOID, INT8OID }
	};
	static Statement locked = {
		"SELECT FROM featul_integrations.health WHERE integration_id = $1", 1, { UUIDOID }
	};
	Columns columns;
	Datum	values[13];
	char	nulls[13];

	columns_init(&columns, 13, 1);
	columns.values[0][0] = UUIDPGetDatum(&change->integration_id);
	set_time(&columns, 1, 0, change->triggered_at);
	columns.values[2][0] = Int32GetDatum(change->failures);
	set_time(&columns, 3, 0, change->failing_since);
	set_time(&columns, 4, 0, change->held_since);
	set_time(&columns, 5, 0, change->hold_until);
	set_int(&columns, 6, 0, change->http_status, 0);
	set_text(&columns, 7, 0, change->error);
	columns.values[8][0] = Int64GetDatum(change->delivered);
	columns.values[9][0] = Int64GetDatum(change->failed);
	columns.values[10][0] = Int64GetDatum(change->retried);
	set_text(&columns, 11, 0, latency_text(change));
	columns.values[12][0] = Int64GetDatum(change->latency_sum);
	for (int i = 0; i < 13; i++)
	{
		values[i] = columns.values[i][0];
		nulls[i] = columns.nulls[i][0] ? 'n' : ' ';
	}
	execute(&update, values, nulls, SPI_OK_UPDATE, 0);
	if (SPI_processed > 0)
		return true;
	execute(&locked, values, NULL, SPI_OK_SELECT, 1);
	return SPI_processed == 0;
}

/* See queue.h. */
void
queue_save_health(HealthChange *changes, int count)
{
	for (int i = 0; i < count; i++)
		changes[i].saved = save_health(&changes[i]);
}

/* See queue.h. */
int
queue_cancel(const pg_uuid_t *integration_id, const char *reason, int limit)
{
	static Statement cancel = {
		"WITH deleted AS (DELETE FROM featul_integrations.queue WHERE ctid = ANY (ARRAY("
		"SELECT q.ctid FROM featul_integrations.queue q"
		" WHERE q.integration_id = $1 AND NOT EXISTS (SELECT FROM featul_integrations.integration i"
		" JOIN featul_integrations.health h ON h.integration_id = i.id"
		" WHERE i.id = $1 AND i.is_active AND h.database = $2)"
		" ORDER BY q.id LIMIT $4)) RETURNING *)"
		" INSERT INTO featul_integrations.attempt (slot, workspace_id, delivery_id, integration_id,"
		" type, event_slot, event_id, state, attempts, error)"
		" SELECT (SELECT r.slot FROM featul_integrations.rotation r),"
		" coalesce(e.workspace_id, i.workspace_id, ''), d.id, d.integration_id,"
		" coalesce(i.type, h.type, ''), d.event_slot, d.event_id, 'cancelled', d.attempts, $3"
		" FROM deleted d"
		" LEFT JOIN featul_integrations.event e ON e.slot = d.event_slot AND e.id = d.event_id"
		" LEFT JOIN featul_integrations.integration i ON i.id = d.integration_id"
		" LEFT JOIN featul_integrations.health h ON h.integration_id = d.integration_id",
		4,
		{ UUIDOID, OIDOID, TEXTOID, INT8OID }
	};
	Datum values[4] = { UUIDPGetDatum(integration_id), ObjectIdGetDatum(MyDatabaseId),
						CStringGetTextDatum(reason), Int64GetDatum(limit) };

	execute(&cancel, values, NULL, SPI_OK_INSERT, 0);
	return SPI_processed;
}

/* ------------------------------------------------------------------------
 * Rotation
 * ------------------------------------------------------------------------ */

/* The number of slots: partitions of event and of attempt (install script). */
#define SLOTS 10

/* True if the last result's first column is true. */
static bool
result_is_true(void)
{
	bool is_true = SPI_processed > 0 && DatumGetBool(column(0, 1, NULL));

	SPI_freetuptable(SPI_tuptable);
	return is_true;
}

/* True if any slot has something in it. */
static bool
anything_kept(void)
{
	static Statement select = { "SELECT EXISTS (SELECT FROM featul_integrations.event)"
								" OR EXISTS (SELECT FROM featul_integrations.attempt)" };

	execute(&select, NULL, NULL, SPI_OK_SELECT, 0);
	return result_is_true();
}

/*
 * Empties a slot unless something in it is still pending; true if it is empty
 * then.  May raise an error: a lock that is not to be had at once.
 */
static bool
empty_slot(int slot)
{
	static Statement pending = {
		"SELECT EXISTS (SELECT FROM featul_integrations.queue WHERE event_slot = $1)",
		1,
		{ INT2OID }
	};
	Datum		   values[1] = { Int16GetDatum(slot) };
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT EXISTS (SELECT FROM featul_integrations.event_%d)"
					 " OR EXISTS (SELECT FROM featul_integrations.attempt_%d)",
					 slot, slot);
	if (SPI_execute(sql.data, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look into slot %d", slot);
	if (!result_is_true())
		return true;

	resetStringInfo(&sql);
	appendStringInfo(
		&sql,
		"LOCK TABLE featul_integrations.event_%d, featul_integrations.attempt_%d"
		" IN ACCESS EXCLUSIVE MODE NOWAIT",
		slot, slot);
	if (SPI_execute(sql.data, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not lock slot %d", slot);

	/* whoever still wants to queue something of this slot has read it: we hold the lock */
	PushActiveSnapshot(GetLatestSnapshot());
	execute(&pending, values, NULL, SPI_OK_SELECT, 0);
	PopActiveSnapshot();
	if (result_is_true())
		return false;

	resetStringInfo(&sql);
	appendStringInfo(
		&sql, "TRUNCATE featul_integrations.event_%d, featul_integrations.attempt_%d",
		slot, slot);
	if (SPI_execute(sql.data, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate slot %d", slot);
	return true;
}

/*
 * See queue.h.  Of ten slots one is written and one is being emptied when it
 * is its turn, so that eight periods pass before something is removed.
 */
TimestampTz
queue_rotate(void)
{
	static Statement current = {
		"SELECT slot, started_at FROM featul_integrations.rotation"
	};
	static Statement next = {
		"UPDATE featul_integrations.rotation SET slot = $1, started_at = now()",
		1,
		{ INT2OID }
	};
	int64		period = Max((int64) setting_retention * 1000 / (SLOTS - 2), 1000);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due;
	int			slot;
	Datum		values[1];

	execute(&current, NULL, NULL, SPI_OK_SELECT, 1);
	if (SPI_processed != 1)
		elog(ERROR, "featul_integrations.rotation has no row");
	slot = DatumGetInt16(column(0, 1, NULL));
	due = TimestampTzPlusMilliseconds(DatumGetTimestampTz(column(0, 2, NULL)), period);
	SPI_freetuptable(SPI_tuptable);

	if (due > now)
		return anything_kept() ? due : 0;
	slot = (slot + 1) % SLOTS;
	if (!empty_slot(slot))
		return TimestampTzPlusMilliseconds(now, Min(period, 60000));
	values[0] = Int16GetDatum(slot);
	execute(&next, values, NULL, SPI_OK_UPDATE, 0);
	return anything_kept() ? TimestampTzPlusMilliseconds(now, period) : 0;
}
