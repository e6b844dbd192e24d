/*
 * table_rotation.c
 *		Rotation of the append-only tables event and attempt: their partitions are
 *		written in turn, and the oldest is emptied.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
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

/* The OID of a partition of event or attempt. */
static Oid
own_partition(const char *table, int partition)
{
	return own_table_oid(psprintf("%s_%d", table, partition));
}

/*
 * Empties a partition unless something in it is still pending, or somebody reads it;
 * true if it is empty then.
 */
static bool
empty_partition(int partition)
{
	static Statement pending = {
		"SELECT EXISTS (SELECT FROM featul_integrations.queue WHERE event_partition = $1)",
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
	statement_run_once(sql.data, SPI_OK_SELECT);
	if (!result_is_true())
		return true;

	/* whoever reads it is not disturbed */
	if (!ConditionalLockRelationOid(own_partition("event", partition),
									AccessExclusiveLock) ||
		!ConditionalLockRelationOid(own_partition("attempt", partition),
									AccessExclusiveLock))
		return false;

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
	statement_run_once(sql.data, SPI_OK_UTILITY);
	return true;
}

/* What is written now. */
typedef struct Rotation
{
	int			partition;
	int			partitions; /* so many there are */
	TimestampTz started_at;
} Rotation;

/* Reads it. */
static Rotation
read_rotation(void)
{
	static Statement select = {
		"SELECT partition, started_at, cardinality(ended) FROM featul_integrations.rotation"
	};
	Rotation rotation;

	statement_run(&select, NULL, NULL, SPI_OK_SELECT, 1);
	if (SPI_processed != 1)
		elog(ERROR, "featul_integrations.rotation has no row");
	rotation.partition = DatumGetInt16(result_datum(0, 1, NULL));
	rotation.started_at = DatumGetTimestampTz(result_datum(0, 2, NULL));
	rotation.partitions = DatumGetInt32(result_datum(0, 3, NULL));
	SPI_freetuptable(SPI_tuptable);
	return rotation;
}

/*
 * Finds the partitions that have not been written for longer than retention, the
 * oldest first.  Palloc'd.
 */
static int *
expired_partitions(int *count)
{
	static Statement select = {
		"SELECT n FROM featul_integrations.rotation r,"
		" LATERAL unnest(r.ended) WITH ORDINALITY u (until, number),"
		" LATERAL (SELECT (u.number - 1)::integer AS n) p"
		" WHERE n <> r.partition"
		" AND (u.until IS NULL OR u.until <= now() - $1 * interval '1 second')"
		" ORDER BY u.until NULLS FIRST, (n - r.partition + cardinality(r.ended)) % cardinality(r.ended)",
		1,
		{ INT4OID }
	};
	Datum values[1] = { Int32GetDatum(setting_retention) };
	int	 *partitions;

	statement_run(&select, values, NULL, SPI_OK_SELECT, 0);
	*count = SPI_processed;
	partitions = palloc(Max(*count, 1) * sizeof(int));
	for (int i = 0; i < *count; i++)
		partitions[i] = DatumGetInt32(result_datum(i, 1, NULL));
	SPI_freetuptable(SPI_tuptable);
	return partitions;
}

/* Goes on to another partition, which is empty. */
static void
write_partition(int partition)
{
	static Statement update = {
		"UPDATE featul_integrations.rotation SET partition = $1, started_at = now(),"
		" ended[partition + 1] = now()",
		1,
		{ INT2OID }
	};
	Datum values[1] = { Int16GetDatum(partition) };

	statement_run(&update, values, NULL, SPI_OK_UPDATE, 0);
}

/*
 * See table_rotation.h.  Of all partitions one is written and one is being emptied when
 * it is its turn, so that as many periods as there are others pass before something is removed.  One that
 * something pending still needs, or that somebody reads, is left alone, and the next
 * oldest is taken: that may have to wait for its time, but for nothing else.
 */
TimestampTz
rotation_advance(void)
{
	TimestampTz now = GetCurrentTimestamp();
	Rotation	rotation = read_rotation();
	int64		period =
		Max((int64) setting_retention * 1000 / (rotation.partitions - 2), 1000);
	TimestampTz due = TimestampTzPlusMilliseconds(Min(rotation.started_at, now), period);
	int		   *expired;
	int			count;

	if (due > now)
		return anything_kept() ? due : 0;
	expired = expired_partitions(&count);
	for (int i = 0; i < count; i++)
	{
		if (!empty_partition(expired[i]))
			continue;
		write_partition(expired[i]);
		return anything_kept() ? TimestampTzPlusMilliseconds(now, period) : 0;
	}
	return TimestampTzPlusMilliseconds(now, Min(period, 60000));
}
