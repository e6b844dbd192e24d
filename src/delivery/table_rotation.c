/*
 * table_rotation.c
 *		Rotation of the append-only tables event and attempt: their partitions are
 *		written in turn, and the oldest is emptied.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/snapmgr.h"

#include "base/own_table.h"
#include "base/settings.h"
#include "delivery/statement.h"
#include "delivery/table_rotation.h"

/* True if any partition has something in it. */
static bool
anything_kept(void)
{
	static Statement select = { "SELECT EXISTS (SELECT FROM featul_integrations.event)"
								" OR EXISTS (SELECT FROM featul_integrations.attempt)" };

	statement_run(&select, NULL, NULL, SPI_OK_SELECT, 0);
	return result_is_true();
}

/*
 * Empties a partition unless something in it is still pending; true if it is empty
 * then.  May raise an error: a lock that is not to be had at once.
 */
static bool
empty_partition(int partition)
{
	static Statement pending = {
		"SELECT EXISTS (SELECT FROM featul_integrations.queue WHERE event_slot = $1)",
		1,
		{ INT2OID }
	};
	Datum		   values[1] = { Int16GetDatum(partition) };
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT EXISTS (SELECT FROM featul_integrations.event_%d)"
					 " OR EXISTS (SELECT FROM featul_integrations.attempt_%d)",
					 partition, partition);
	if (SPI_execute(sql.data, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look into partition %d", partition);
	if (!result_is_true())
		return true;

	resetStringInfo(&sql);
	appendStringInfo(
		&sql,
		"LOCK TABLE featul_integrations.event_%d, featul_integrations.attempt_%d"
		" IN ACCESS EXCLUSIVE MODE NOWAIT",
		partition, partition);
	if (SPI_execute(sql.data, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not lock partition %d", partition);

	/* whoever still wants to queue something of this partition has read it: we hold the lock */
	PushActiveSnapshot(GetLatestSnapshot());
	statement_run(&pending, values, NULL, SPI_OK_SELECT, 0);
	PopActiveSnapshot();
	if (result_is_true())
		return false;

	resetStringInfo(&sql);
	appendStringInfo(
		&sql, "TRUNCATE featul_integrations.event_%d, featul_integrations.attempt_%d",
		partition, partition);
	if (SPI_execute(sql.data, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate partition %d", partition);
	return true;
}

/*
 * See table_rotation.h.  Of ten partitions one is written and one is being emptied when it
 * is its turn, so that eight periods pass before something is removed.
 */
TimestampTz
rotation_advance(void)
{
	static Statement current = {
		"SELECT slot, started_at FROM featul_integrations.rotation"
	};
	static Statement next = {
		"UPDATE featul_integrations.rotation SET slot = $1, started_at = now()",
		1,
		{ INT2OID }
	};
	int64 period =
		Max((int64) setting_retention * 1000 / (OWN_TABLE_PARTITIONS - 2), 1000);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due;
	int			partition;
	Datum		values[1];

	statement_run(&current, NULL, NULL, SPI_OK_SELECT, 1);
	if (SPI_processed != 1)
		elog(ERROR, "featul_integrations.rotation has no row");
	partition = DatumGetInt16(result_datum(0, 1, NULL));
	due = TimestampTzPlusMilliseconds(DatumGetTimestampTz(result_datum(0, 2, NULL)),
									  period);
	SPI_freetuptable(SPI_tuptable);

	if (due > now)
		return anything_kept() ? due : 0;
	partition = (partition + 1) % OWN_TABLE_PARTITIONS;
	if (!empty_partition(partition))
		return TimestampTzPlusMilliseconds(now, Min(period, 60000));
	values[0] = Int16GetDatum(partition);
	statement_run(&next, values, NULL, SPI_OK_UPDATE, 0);
	return anything_kept() ? TimestampTzPlusMilliseconds(now, period) : 0;
}
