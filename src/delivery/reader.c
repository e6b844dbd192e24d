/*
 * reader.c
 *		Reading: which integrations there are, and what is pending for them.
 *
 * What was read is given to the lanes only once its transaction has ended, and the
 * transactions that wrote it are flushed (durable.c).  An error from then on leaves
 * the lanes with half of it, and is not caught here: the worker starts over.
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/fault.h"
#include "base/settings.h"
#include "base/version.h"
#include "delivery/durable.h"
#include "delivery/lane_roster.h"
#include "delivery/lane_window.h"
#include "delivery/reader.h"
#include "delivery/statement.h"
#include "network/http.h"
#include "process/stats.h"

/* New rows taken in one by one; of more only the integrations are noted. */
#define MAX_NEW_ROWS 32768

/*
 * After reading what is new, the worker looks again by itself (ms), so that many
 * small commits wake it no more often than that.
 */
#define NAP_MS 1

/* Lanes read before the network gets its turn again. */
#define READ_BATCH 16

typedef struct Reader
{
	QueueReader *queue;

	/* what is to be read */
	bool	  all; /* all integrations, */
	int		  n_changed;
	pg_uuid_t changed[SLOTS_MAX_CHANGED]; /* or these */
	bool	  pending;					  /* which of them have something pending */
	bool	  recent;					  /* what has been committed since, */
	Moment	  nap_until;				  /* but not before this */

	int foreign; /* integrations that were reported as restored or copied */
} Reader;

/* See reader.h. */
void
reader_init(Worker *worker)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	worker->reader = palloc0(sizeof(Reader));
	worker->reader->queue = queue_reader_create();
	MemoryContextSwitchTo(caller);
}

/* See reader.h. */
void
reader_reset(Worker *worker)
{
	Reader *reader = worker->reader;

	reader->all = reader->pending = true;
	reader->recent = false;
	reader->n_changed = 0;
	reader->nap_until = 0;
	worker->rows_came = true;
}

/* See reader.h. */
void
reader_note(Worker *worker, uint32 signals)
{
	Reader	 *reader = worker->reader;
	pg_uuid_t ids[SLOTS_MAX_CHANGED];
	int		  count = 0;

	if (signals & SIGNAL_CHANGED)
		count = slots_take_changed(ids);
	if (signals & SIGNAL_RELOAD || reader->n_changed + count > SLOTS_MAX_CHANGED)
		reader->all = true;
	else
	{
		memcpy(reader->changed + reader->n_changed, ids, count * sizeof(pg_uuid_t));
		reader->n_changed += count;
	}
	if (signals & SIGNAL_WAKE)
		reader->recent = true;
}

/* With several workers, each integration belongs to one of them. */
static bool
is_mine(const Worker *worker, const pg_uuid_t *integration_id)
{
	return setting_workers == 1 ||
		   hash_bytes(integration_id->data, UUID_LEN) % setting_workers == worker->number;
}

/* ------------------------------------------------------------------------
 * Integrations
 * ------------------------------------------------------------------------ */

/* How many came with a restored or copied database. */
static int
count_foreign(const Integrations *integrations)
{
	int count = 0;

	for (int i = 0; i < integrations->count; i++)
		count += !integrations->rows[i].is_ours;
	return count;
}

/* Once, and again if it changes, what a DBA should know; in a transaction. */
static void
report_foreign(Worker *worker, const Integrations *integrations)
{
	int count = count_foreign(integrations);

	if (count > worker->reader->foreign && worker->number == 0)
		ereport(
			WARNING,
			(errmsg(
				 "%d integrations of database \"%s\" are inactive because they came with a restored or copied database",
				 count, get_database_name(MyDatabaseId)),
			 errhint(
				 "To let them deliver from here, call featul_integrations.activate_restored().")));
	worker->reader->foreign = count;
}

/* Leaves those that are this worker's. */
static void
keep_mine(const Worker *worker, Integrations *integrations)
{
	int count = 0;

	for (int i = 0; i < integrations->count; i++)
		if (is_mine(worker, &integrations->rows[i].id))
			integrations->rows[count++] = integrations->rows[i];
	integrations->count = count;
}

/* Likewise of ids; how many. */
static int
keep_my_ids(const Worker *worker, pg_uuid_t *ids, int count)
{
	int kept = 0;

	for (int i = 0; i < count; i++)
		if (is_mine(worker, &ids[i]))
			ids[kept++] = ids[i];
	return kept;
}

/* Deliveries whose lanes must not send any more are in flight no longer. */
static void
abort_deliveries(Worker *worker)
{
	Delivery *delivery;

	while ((delivery = roster_next_abort(worker->dispatch)) != NULL)
		http_abort(worker->http, delivery);
	stats_report_config_loaded();
}

/* Step: takes over the integrations as they are now. */
static void
read_all(void *argument)
{
	Worker		*worker = argument;
	Reader		*reader = worker->reader;
	Integrations integrations;
	pg_uuid_t	*orphans;
	int			 n_orphans;

	table_begin("reading integrations");
	if (!health_has_extension())
		recovery_leave(OUTCOME_NO_EXTENSION);
	version_check();
	integrations = health_read_integrations();
	orphans = health_read_orphans(&n_orphans);
	report_foreign(worker, &integrations);
	table_commit();

	keep_mine(worker, &integrations);
	n_orphans = keep_my_ids(worker, orphans, n_orphans);
	roster_take(worker->dispatch, &integrations);
	for (int i = 0; i < n_orphans; i++)
		roster_take_gone(worker->dispatch, &orphans[i]);
	abort_deliveries(worker);
	reader->all = false;
	reader->n_changed = 0;
}

/* Step: takes over those that changed. */
static void
read_changed(void *argument)
{
	Worker		*worker = argument;
	Reader		*reader = worker->reader;
	Integrations integrations;

	table_begin("reading integrations");
	integrations = health_read_changed(reader->changed, reader->n_changed);
	table_commit();

	if (count_foreign(&integrations) > 0)
	{
		/* they come with a dump that is being restored: all are counted, and told of */
		reader->all = true;
		return;
	}
	keep_mine(worker, &integrations);
	reader->n_changed = keep_my_ids(worker, reader->changed, reader->n_changed);
	roster_take_changed(worker->dispatch, &integrations, reader->changed,
						reader->n_changed);
	abort_deliveries(worker);
	reader->n_changed = 0;
}

/* See reader.h. */
Moment
reader_integrations_due(const Worker *worker)
{
	const Reader *reader = worker->reader;

	return reader->all || reader->n_changed > 0 ? MOMENT_PAST : 0;
}

/* See reader.h. */
bool
reader_read_integrations(Worker *worker)
{
	return recovery_run(&worker->recovery, worker->reader->all ? read_all : read_changed,
						worker);
}

/* ------------------------------------------------------------------------
 * What is pending
 * ------------------------------------------------------------------------ */

/* Takes over where there are unread rows. */
static void
take_marks(Worker *worker, const QueueMarks *marks)
{
	for (int i = 0; i < marks->count; i++)
		if (is_mine(worker, &marks->marks[i].integration_id))
			window_unread(worker->dispatch, &marks->marks[i].integration_id,
						  marks->marks[i].id);
}

/* Step: finds out which integrations have something pending. */
static void
read_pending(void *argument)
{
	Worker	  *worker = argument;
	Reader	  *reader = worker->reader;
	QueueMarks marks;

	table_begin("looking for pending deliveries");
	marks = queue_read_pending(reader->queue);
	table_commit();
	queue_reader_advance(reader->queue);
	take_marks(worker, &marks);
	reader->pending = reader->recent = false;
}

/* See reader.h. */
Moment
reader_pending_due(const Worker *worker)
{
	return worker->reader->pending ? MOMENT_PAST : 0;
}

/* See reader.h. */
bool
reader_read_pending(Worker *worker)
{
	return recovery_run(&worker->recovery, read_pending, worker);
}

/* Step: takes in what has been committed since the last time. */
static void
read_recent(void *argument)
{
	Worker	  *worker = argument;
	Reader	  *reader = worker->reader;
	QueueMarks marks;
	QueueRows  rows;

	table_begin("reading new deliveries");
	rows = queue_read_new(reader->queue, MAX_NEW_ROWS, &marks);
	table_commit();
	durable_flush(&rows.notes);
	queue_reader_advance(reader->queue);
	for (int i = 0; i < rows.count; i++)
	{
		fault("taking a new delivery");
		if (is_mine(worker, &rows.rows[i].integration_id))
			window_new(worker->dispatch, &rows.rows[i]);
	}
	take_marks(worker, &marks);
	worker->rows_came |= rows.count > 0 || marks.count > 0;
	reader->recent = false;
	reader->nap_until = clock_after_ms(clock_now(), NAP_MS);
}

/* See reader.h. */
Moment
reader_recent_due(const Worker *worker)
{
	const Reader *reader = worker->reader;

	if (!reader->recent || !settings_may_deliver())
		return 0;
	return Max(reader->nap_until, MOMENT_PAST);
}

/* See reader.h. */
bool
reader_read_recent(Worker *worker)
{
	return recovery_run(&worker->recovery, read_recent, worker);
}

/* See reader.h. */
bool
reader_naps(const Worker *worker, Moment now)
{
	return !settings_may_deliver() || now < worker->reader->nap_until;
}

/* See reader.h. */
Moment
reader_nap_over(const Worker *worker, Moment now)
{
	return settings_may_deliver() && now < worker->reader->nap_until
			   ? worker->reader->nap_until
			   : 0;
}

/* Step: reads on in the lanes that have run low. */
static void
read_lanes(void *argument)
{
	Worker	  *worker = argument;
	RowsWanted wanted;

	for (int i = 0; i < READ_BATCH; i++)
	{
		QueueRows rows;

		if (!window_next_wanted(worker->dispatch, &wanted))
			break;
		table_begin("reading pending deliveries");
		rows = queue_read_lane(&wanted.integration_id, wanted.after, wanted.limit);
		table_commit();
		durable_flush(&rows.notes);
		window_take_rows(&wanted, &rows);
		pfree(rows.rows);
	}
}

/* See reader.h. */
Moment
reader_lanes_due(const Worker *worker)
{
	RowsWanted wanted;

	return window_next_wanted(worker->dispatch, &wanted) ? MOMENT_PAST : 0;
}

/* See reader.h. */
bool
reader_read_lanes(Worker *worker)
{
	return recovery_run(&worker->recovery, read_lanes, worker);
}
