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

/* See reader.h. */
void
reader_init(Reader *reader, Recovery *recovery, int number)
{
	reader->recovery = recovery;
	reader->number = number;
	reader->queue = queue_reader_create();
}

/* See reader.h. */
void
reader_reset(Reader *reader, Dispatch *dispatch, HttpClient *http)
{
	reader->dispatch = dispatch;
	reader->http = http;
	reader->all = reader->pending = true;
	reader->recent = false;
	reader->n_changed = 0;
	reader->nap_until = 0;
	reader->found = true;
}

/* See reader.h. */
void
reader_note(Reader *reader, uint32 signals)
{
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
is_mine(const Reader *reader, const pg_uuid_t *integration_id)
{
	return setting_workers == 1 ||
		   hash_bytes(integration_id->data, UUID_LEN) % setting_workers == reader->number;
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
report_foreign(Reader *reader, const Integrations *integrations)
{
	int count = count_foreign(integrations);

	if (count > reader->foreign && reader->number == 0)
		ereport(
			WARNING,
			(errmsg(
				 "%d integrations of database \"%s\" are inactive because they came with a restored or copied database",
				 count, get_database_name(MyDatabaseId)),
			 errhint(
				 "To let them deliver from here, call featul_integrations.activate_restored().")));
	reader->foreign = count;
}

/* Leaves those that are this worker's. */
static void
keep_mine(const Reader *reader, Integrations *integrations)
{
	int count = 0;

	for (int i = 0; i < integrations->count; i++)
		if (is_mine(reader, &integrations->rows[i].id))
			integrations->rows[count++] = integrations->rows[i];
	integrations->count = count;
}

/* Likewise of ids; how many. */
static int
keep_my_ids(const Reader *reader, pg_uuid_t *ids, int count)
{
	int kept = 0;

	for (int i = 0; i < count; i++)
		if (is_mine(reader, &ids[i]))
			ids[kept++] = ids[i];
	return kept;
}

/* Deliveries whose lanes must not send any more are in flight no longer. */
static void
abort_deliveries(Reader *reader)
{
	Delivery *delivery;

	while ((delivery = roster_next_abort(reader->dispatch)) != NULL)
		http_abort(reader->http, delivery);
	stats_report_config_loaded();
}

/* Step: takes over the integrations as they are now. */
static void
read_all(void *argument)
{
	Reader		*reader = argument;
	Integrations integrations;
	pg_uuid_t	*orphans;
	int			 n_orphans;

	table_begin("reading integrations");
	if (!health_has_extension())
		recovery_leave(OUTCOME_NO_EXTENSION);
	version_check();
	integrations = health_read_integrations();
	orphans = health_read_orphans(&n_orphans);
	report_foreign(reader, &integrations);
	table_commit();

	keep_mine(reader, &integrations);
	n_orphans = keep_my_ids(reader, orphans, n_orphans);
	roster_take(reader->dispatch, &integrations);
	for (int i = 0; i < n_orphans; i++)
		roster_take_gone(reader->dispatch, &orphans[i]);
	abort_deliveries(reader);
	reader->all = false;
	reader->n_changed = 0;
}

/* Step: takes over those that changed. */
static void
read_changed(void *argument)
{
	Reader		*reader = argument;
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
	keep_mine(reader, &integrations);
	reader->n_changed = keep_my_ids(reader, reader->changed, reader->n_changed);
	roster_take_changed(reader->dispatch, &integrations, reader->changed,
						reader->n_changed);
	abort_deliveries(reader);
	reader->n_changed = 0;
}

/* See reader.h. */
Moment
reader_integrations_due(const Reader *reader)
{
	return reader->all || reader->n_changed > 0 ? MOMENT_PAST : 0;
}

/* See reader.h. */
bool
reader_read_integrations(Reader *reader)
{
	return recovery_run(reader->recovery, reader->all ? read_all : read_changed, reader);
}

/* ------------------------------------------------------------------------
 * What is pending
 * ------------------------------------------------------------------------ */

/* Takes over where there are unread rows. */
static void
take_marks(Reader *reader, const QueueMarks *marks)
{
	for (int i = 0; i < marks->count; i++)
		if (is_mine(reader, &marks->marks[i].integration_id))
			window_unread(reader->dispatch, &marks->marks[i].integration_id,
						  marks->marks[i].id);
}

/* Step: finds out which integrations have something pending. */
static void
read_pending(void *argument)
{
	Reader	  *reader = argument;
	QueueMarks marks;

	table_begin("looking for pending deliveries");
	marks = queue_read_pending(reader->queue);
	table_commit();
	queue_reader_advance(reader->queue);
	take_marks(reader, &marks);
	reader->pending = reader->recent = false;
}

/* See reader.h. */
Moment
reader_pending_due(const Reader *reader)
{
	return reader->pending ? MOMENT_PAST : 0;
}

/* See reader.h. */
bool
reader_read_pending(Reader *reader)
{
	return recovery_run(reader->recovery, read_pending, reader);
}

/* Step: takes in what has been committed since the last time. */
static void
read_recent(void *argument)
{
	Reader	  *reader = argument;
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
		if (is_mine(reader, &rows.rows[i].integration_id))
			window_new(reader->dispatch, &rows.rows[i]);
	}
	take_marks(reader, &marks);
	reader->found |= rows.count > 0 || marks.count > 0;
	reader->recent = false;
	reader->nap_until = clock_after_ms(clock_now(), NAP_MS);
}

/* See reader.h. */
Moment
reader_recent_due(const Reader *reader)
{
	if (!reader->recent || !settings_may_deliver())
		return 0;
	return Max(reader->nap_until, MOMENT_PAST);
}

/* See reader.h. */
bool
reader_read_recent(Reader *reader)
{
	return recovery_run(reader->recovery, read_recent, reader);
}

/* See reader.h. */
bool
reader_naps(const Reader *reader, Moment now)
{
	return !settings_may_deliver() || now < reader->nap_until;
}

/* Step: reads on in the lanes that have run low. */
static void
read_lanes(void *argument)
{
	Reader	  *reader = argument;
	RowsWanted wanted;

	for (int i = 0; i < READ_BATCH; i++)
	{
		QueueRows rows;

		if (!window_next_wanted(reader->dispatch, &wanted))
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
reader_lanes_due(const Reader *reader)
{
	RowsWanted wanted;

	return window_next_wanted(reader->dispatch, &wanted) ? MOMENT_PAST : 0;
}

/* See reader.h. */
bool
reader_read_lanes(Reader *reader)
{
	return recovery_run(reader->recovery, read_lanes, reader);
}
