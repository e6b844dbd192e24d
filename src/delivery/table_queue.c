/*
 * table_queue.c
 *		What is pending: the tables queue and event, as the worker reads them.
 *
 * New work is what was committed between two snapshots: rows whose xid is not
 * below the old snapshot's xmax, and those of the transactions that were
 * running then and are not any more.  That is exact even if a lower id commits
 * later, and never reads the dead rows that an old snapshot keeps.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "base/compat.h"
#include "base/own_table.h"
#include "delivery/statement.h"
#include "delivery/table_queue.h"

/* A snapshot, as far as it matters here. */
typedef struct SnapshotPosition
{
	uint64	xmax;
	int		count;
	int		room;
	uint64 *running; /* transactions that were running, ascending */
} SnapshotPosition;

struct QueueReader
{
	MemoryContext	 context; /* of all of it */
	SnapshotPosition position;
	SnapshotPosition next; /* becomes position with queue_reader_advance() */
};

/* See table_queue.h. */
QueueReader *
queue_reader_create(void)
{
	QueueReader *reader = palloc0(sizeof(QueueReader));

	reader->context = CurrentMemoryContext;
	return reader;
}

/* See table_queue.h. */
void
queue_reader_advance(QueueReader *reader)
{
	SnapshotPosition old = reader->position;

	reader->position = reader->next;
	reader->next = old;
}

/* ------------------------------------------------------------------------
 * Reading what is pending
 * ------------------------------------------------------------------------ */

#define ROW_COLUMNS                                                                           \
	"integration_id, id, xid, event_partition, event_id, post_id, attempts, next_attempt_at," \
	" event_name"

/* Appends the last result's rows, which have ROW_COLUMNS, and frees it. */
static void
take_rows(QueueRows *rows)
{
	int count = SPI_processed;

	if (rows->rows == NULL)
		rows->rows =
			MemoryContextAllocHuge(table_context(), (count + 1) * sizeof(QueueRow));
	else
		rows->rows =
			repalloc_huge(rows->rows, (rows->count + count + 1) * sizeof(QueueRow));
	for (int i = 0; i < count; i++)
	{
		QueueRow *row = &rows->rows[rows->count++];
		text	 *post = DatumGetTextPP(result_datum(i, 6, NULL));
		char	 *name = result_text(i, 9);

		row->integration_id = result_uuid(i, 1);
		row->id = DatumGetInt64(result_datum(i, 2, NULL));
		row->xid =
			U64FromFullTransactionId(DatumGetFullTransactionId(result_datum(i, 3, NULL)));
		durable_note(&rows->notes, row->xid);
		row->event.partition = DatumGetInt16(result_datum(i, 4, NULL));
		row->event.id = DatumGetInt64(result_datum(i, 5, NULL));
		row->post = hash_bytes_extended((unsigned char *) VARDATA_ANY(post),
										VARSIZE_ANY_EXHDR(post), 0);
		row->attempts = DatumGetInt32(result_datum(i, 7, NULL));
		row->next_attempt_at = DatumGetTimestampTz(result_datum(i, 8, NULL));
		row->kind = name ? event_kind(name) : EVENT_COUNT;
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Takes the last result, (integration_id, id), and frees it. */
static QueueMarks
read_marks(void)
{
	QueueMarks result;

	result.count = SPI_processed;
	result.marks =
		MemoryContextAllocHuge(table_context(), (SPI_processed + 1) * sizeof(QueueMark));
	for (int i = 0; i < result.count; i++)
	{
		result.marks[i].integration_id = result_uuid(i, 1);
		result.marks[i].id = DatumGetInt64(result_datum(i, 2, NULL));
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

/* qsort() comparator */
static int
compare_xids(const void *a, const void *b)
{
	uint64 x = *(const uint64 *) a;
	uint64 y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* The active snapshot is the reader's next position. */
static void
take_position(QueueReader *reader)
{
	SnapshotPosition *next = &reader->next;
	Snapshot		  snapshot = GetActiveSnapshot();
	FullTransactionId next_xid = ReadNextFullTransactionId();

	next->xmax = full_xid(snapshot->xmax, next_xid);
	if (next->room < (int) snapshot->xcnt)
	{
		if (next->running)
			pfree(next->running);
		next->running = NULL;
		next->room = 0;
		next->running =
			MemoryContextAlloc(reader->context, snapshot->xcnt * sizeof(uint64));
		next->room = snapshot->xcnt;
	}
	next->count = snapshot->xcnt;
	for (int i = 0; i < next->count; i++)
		next->running[i] = full_xid(snapshot->xip[i], next_xid);
	qsort(next->running, next->count, sizeof(uint64), compare_xids);
}

/* See table_queue.h. */
QueueMarks
queue_read_pending(QueueReader *reader)
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

	take_position(reader);
	statement_run(&select, NULL, NULL, SPI_OK_SELECT, 0);
	return read_marks();
}

/* The transactions of the position that are not running any more (xid8[]). */
static Datum
ended_transactions(const SnapshotPosition *position, const SnapshotPosition *next,
				   int *count)
{
	Datum *ended = palloc(Max(position->count, 1) * sizeof(Datum));
	int	   n = 0, j = 0;

	for (int i = 0; i < position->count; i++)
	{
		while (j < next->count && next->running[j] < position->running[i])
			j++;
		if (j == next->count || next->running[j] != position->running[i])
			ended[n++] =
				FullTransactionIdGetDatum(FullTransactionIdFromU64(position->running[i]));
	}
	*count = n;
	return PointerGetDatum(
		construct_array(ended, n, XID8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* qsort() comparator */
static int
compare_rows(const void *a, const void *b)
{
	int64 x = ((const QueueRow *) a)->id;
	int64 y = ((const QueueRow *) b)->id;

	return x < y ? -1 : x > y;
}

/* See table_queue.h. */
QueueRows
queue_read_new(QueueReader *reader, int limit, QueueMarks *marks)
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
	const SnapshotPosition *position = &reader->position;
	QueueRows				result = { 0 };
	Datum					values[2];
	int						n_ended;

	marks->count = 0;
	take_position(reader);
	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(position->xmax));
	values[1] = ended_transactions(position, &reader->next, &n_ended);

	if (reader->next.xmax > position->xmax)
	{
		statement_run(&newer, &values[0], NULL, SPI_OK_SELECT, limit + 1);
		take_rows(&result);
	}
	if (result.count <= limit && n_ended > 0)
	{
		statement_run(&ended, &values[1], NULL, SPI_OK_SELECT, limit + 1);
		take_rows(&result);
	}
	if (result.count > limit)
	{
		pfree(result.rows);
		result.rows = NULL;
		result.count = 0;
		statement_run(&summary, values, NULL, SPI_OK_SELECT, 0);
		*marks = read_marks();
	}
	if (result.count > 1)
		qsort(result.rows, result.count, sizeof(QueueRow), compare_rows);
	return result;
}

/* See table_queue.h. */
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

	statement_run(&select, values, NULL, SPI_OK_SELECT, 0);
	take_rows(&result);
	return result;
}

/* ------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------ */

/* Runs a statement whose parameters are the partitions and ids of events. */
static void
select_events(Statement *select, const EventKey *keys, int count)
{
	static const Oid types[] = { INT2OID, INT8OID };
	Columns			 columns;

	columns_init(&columns, 2, count);
	for (int i = 0; i < count; i++)
	{
		columns.values[0][i] = Int16GetDatum(keys[i].partition);
		columns.values[1][i] = Int64GetDatum(keys[i].id);
	}
	statement_run_columns(select, &columns, types, SPI_OK_SELECT);
}

/* An event out of a row; its strings are palloc'd. */
static Event
event_of(HeapTuple row, TupleDesc descriptor)
{
	Event event = { 0 };
	bool  null;
	Datum value;

	value = SPI_getbinval(row, descriptor, 3, &null);
	event.webhook_id =
		psprintf("msg_%s", DatumGetCString(DirectFunctionCall1(uuid_out, value)));
	event.name = TextDatumGetCString(SPI_getbinval(row, descriptor, 2, &null));
	event.payload = TextDatumGetCString(SPI_getbinval(row, descriptor, 4, &null));
	value = SPI_getbinval(row, descriptor, 5, &null);
	event.labels = null ? NULL : TextDatumGetCString(value);
	event.created_at = DatumGetTimestampTz(SPI_getbinval(row, descriptor, 6, &null));
	value = SPI_getbinval(row, descriptor, 7, &null);
	event.traceparent = null ? NULL : TextDatumGetCString(value);
	return event;
}

/* See table_queue.h. */
void
queue_read_events(const EventKey *keys, int count,
				  void (*take)(int index, const Event *event, void *argument),
				  void *argument)
{
	static Statement select = {
		"SELECT k.n::integer, e.name, e.webhook_id, e.payload, e.labels, e.created_at,"
		" e.traceparent"
		" FROM unnest($1, $2) WITH ORDINALITY k (partition, id, n) CROSS JOIN LATERAL"
		" (SELECT * FROM featul_integrations.event WHERE partition = k.partition AND id = k.id OFFSET 0) e",
		2,
		{ INT2ARRAYOID, INT8ARRAYOID }
	};
	MemoryContext spi_context = CurrentMemoryContext;
	MemoryContext event_context = AllocSetContextCreate(
		spi_context, "featul_integrations event", ALLOCSET_DEFAULT_SIZES);
	SPITupleTable *table;
	int			   found;

	select_events(&select, keys, count);
	table = SPI_tuptable;
	found = SPI_processed;

	/* a payload is detoasted only now, one at a time: they can be large */
	for (int i = 0; i < found; i++)
	{
		HeapTuple row = table->vals[i];
		Event	  event;
		bool	  null;

		MemoryContextReset(event_context);
		MemoryContextSwitchTo(event_context);
		event = event_of(row, table->tupdesc);
		take(DatumGetInt32(SPI_getbinval(row, table->tupdesc, 1, &null)) - 1, &event,
			 argument);
		MemoryContextSwitchTo(spi_context);
	}
	MemoryContextDelete(event_context);
	SPI_freetuptable(table);
}

/* See table_queue.h. */
int
queue_cancel(const pg_uuid_t *integration_id, const char *reason, int limit)
{
	static Statement cancel = {
		"WITH deleted AS (DELETE FROM featul_integrations.queue WHERE ctid = ANY (ARRAY("
		"SELECT q.ctid FROM featul_integrations.queue q"
		" WHERE q.integration_id = $1 AND NOT EXISTS (SELECT FROM featul_integrations.integration i"
		" JOIN featul_integrations.health h ON h.integration_id = i.id"
		" WHERE i.id = $1 AND " OWN_TABLE_ACTIVE_HERE(
			"$2") ")"
				  " ORDER BY q.id LIMIT $4)) RETURNING *)"
				  " INSERT INTO featul_integrations.attempt (partition, workspace_id, delivery_id, integration_id,"
				  " type, event_partition, event_id, state, attempts, error)"
				  " SELECT (SELECT r.partition FROM featul_integrations.rotation r),"
				  " coalesce(e.workspace_id, i.workspace_id, ''), d.id, d.integration_id,"
				  " coalesce(i.type, h.type, ''), d.event_partition, d.event_id, 'cancelled', d.attempts, $3"
				  " FROM deleted d"
				  " LEFT JOIN featul_integrations.event e ON e.partition = d.event_partition AND e.id = d.event_id"
				  " LEFT JOIN featul_integrations.integration i ON i.id = d.integration_id"
				  " LEFT JOIN featul_integrations.health h ON h.integration_id = d.integration_id",
		4,
		{ UUIDOID, OIDOID, TEXTOID, INT8OID }
	};
	Datum values[4] = { UUIDPGetDatum(integration_id), ObjectIdGetDatum(MyDatabaseId),
						CStringGetTextDatum(reason), Int64GetDatum(limit) };

	statement_run(&cancel, values, NULL, SPI_OK_INSERT, 0);
	return SPI_processed;
}
