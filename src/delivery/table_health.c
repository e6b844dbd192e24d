/*
 * table_health.c
 *		Integrations and how they fare: the tables integration, health and total,
 *		as the worker reads and writes them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/own_table.h"
#include "delivery/statement.h"
#include "delivery/table_health.h"

const int latency_bounds[LATENCY_BUCKETS - 1] = { 10,  25,	 50,   100,	 250,
												  500, 1000, 2500, 5000, 10000 };

FEATUL_FUNCTION(featul_latency_add);
FEATUL_FUNCTION(featul_latency_bounds);

/* See table_health.h. */
bool
health_has_extension(void)
{
	return OidIsValid(get_extension_oid("featul_integrations", true));
}

/* Is it not one that was restored or copied? */
#define THIS_DATABASE OWN_TABLE_HERE("$1")

#define SELECT_INTEGRATIONS                                                              \
	"SELECT i.id, i.workspace_id, i.type, i.webhook_url, i.secret, i.previous_secret,"   \
	" i.previous_secret_until, i.is_active, " THIS_DATABASE ","                          \
	" i.inactive_reason, i.updated_at, coalesce(h.failures, 0), h.failing_since,"        \
	" h.held_since, h.hold_until, coalesce(h.failing_days, 0),"                          \
	" coalesce(h.response_ms, -1), coalesce(h.told_failing, false)"                      \
	" FROM featul_integrations.integration i"                                            \
	" LEFT JOIN featul_integrations.health h ON h.integration_id = i.id"

/* The last result, which has these columns, and frees it. */
static Integrations
take_integrations(void)
{
	Integrations result;

	result.count = SPI_processed;
	result.rows = MemoryContextAllocHuge(table_context(),
										 (SPI_processed + 1) * sizeof(Integration));
	for (int i = 0; i < result.count; i++)
	{
		Integration *row = &result.rows[i];

		row->id = result_uuid(i, 1);
		row->workspace_id = result_text(i, 2);
		row->type = result_text(i, 3);
		row->webhook_url = result_text(i, 4);
		row->secret = result_text(i, 5);
		row->previous_secret = result_text(i, 6);
		row->previous_secret_until = DatumGetTimestampTz(result_datum(i, 7, NULL));
		row->is_active = DatumGetBool(result_datum(i, 8, NULL));
		row->is_ours = DatumGetBool(result_datum(i, 9, NULL));
		row->inactive_reason = result_text(i, 10);
		row->updated_at = DatumGetTimestampTz(result_datum(i, 11, NULL));
		row->failures = DatumGetInt32(result_datum(i, 12, NULL));
		row->failing_since = DatumGetTimestampTz(result_datum(i, 13, NULL));
		row->held_since = DatumGetTimestampTz(result_datum(i, 14, NULL));
		row->hold_until = DatumGetTimestampTz(result_datum(i, 15, NULL));
		row->failing_days = DatumGetInt32(result_datum(i, 16, NULL));
		row->response_ms = DatumGetInt32(result_datum(i, 17, NULL));
		row->told_failing = DatumGetBool(result_datum(i, 18, NULL));
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/* See table_health.h. */
Integrations
health_read_integrations(void)
{
	static Statement select = { SELECT_INTEGRATIONS, 1, { OIDOID } };
	Datum			 values[1] = { ObjectIdGetDatum(MyDatabaseId) };

	statement_run(&select, values, NULL, SPI_OK_SELECT, 0);
	return take_integrations();
}

/* See table_health.h. */
Integrations
health_read_changed(pg_uuid_t *ids, int count)
{
	static Statement select = { SELECT_INTEGRATIONS " WHERE i.id = ANY ($2)",
								2,
								{ OIDOID, UUIDARRAYOID } };
	Datum			*elements = palloc(count * sizeof(Datum));
	Datum			 values[2] = { ObjectIdGetDatum(MyDatabaseId) };

	for (int i = 0; i < count; i++)
		elements[i] = UUIDPGetDatum(&ids[i]);
	values[1] = array_of(elements, NULL, count, UUIDOID);
	statement_run(&select, values, NULL, SPI_OK_SELECT, 0);
	return take_integrations();
}

/* See table_health.h. */
pg_uuid_t *
health_read_orphans(int *count)
{
	static Statement select = {
		"SELECT h.integration_id FROM featul_integrations.health h WHERE NOT EXISTS"
		" (SELECT FROM featul_integrations.integration i WHERE i.id = h.integration_id)"
	};
	pg_uuid_t *ids;

	statement_run(&select, NULL, NULL, SPI_OK_SELECT, 0);
	*count = SPI_processed;
	ids = MemoryContextAllocHuge(table_context(), (*count + 1) * sizeof(pg_uuid_t));
	for (int i = 0; i < *count; i++)
		ids[i] = result_uuid(i, 1);
	SPI_freetuptable(SPI_tuptable);
	return ids;
}

/* See table_health.h. */
Deactivation
health_deactivate(const pg_uuid_t *integration_id, TimestampTz updated_at,
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

	statement_run(&update, values, NULL, SPI_OK_UPDATE, 0);
	if (SPI_processed > 0)
		return DEACTIVATION_DONE;
	statement_run(&locked, values, NULL, SPI_OK_SELECT, 1);
	return SPI_processed > 0 ? DEACTIVATION_LOCKED : DEACTIVATION_NEEDLESS;
}

/* See table_health.h. */
void
health_forget(const pg_uuid_t *integration_id)
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

	statement_run(&delete, values, NULL, SPI_OK_INSERT, 0);
}

/* featul_integrations.latency_bounds() */
Datum
featul_latency_bounds(PG_FUNCTION_ARGS)
{
	Datum bounds[LATENCY_BUCKETS - 1];

	for (int i = 0; i < lengthof(bounds); i++)
		bounds[i] = Int32GetDatum(latency_bounds[i]);
	PG_RETURN_DATUM(array_of(bounds, NULL, lengthof(bounds), INT4OID));
}

/* featul_integrations.latency_add(bigint[], bigint[]): both have a count for each bucket */
Datum
featul_latency_add(PG_FUNCTION_ARGS)
{
	int64 *counts[2];
	Datum  sums[LATENCY_BUCKETS];

	for (int i = 0; i < lengthof(counts); i++)
	{
		ArrayType *array = PG_GETARG_ARRAYTYPE_P(i);

		if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] != LATENCY_BUCKETS ||
			ARR_HASNULL(array))
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("counts of durations are %d numbers", LATENCY_BUCKETS)));
		counts[i] = (int64 *) ARR_DATA_PTR(array);
	}
	for (int i = 0; i < LATENCY_BUCKETS; i++)
		sums[i] = Int64GetDatum(counts[0][i] + counts[1][i]);
	PG_RETURN_DATUM(array_of(sums, NULL, LATENCY_BUCKETS, INT8OID));
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

/* Saves those whose row nobody has locked; sets saved and turned of them. */
static void
save_unlocked(HealthChange *changes, int count)
{
	static const Oid types[] = { UUIDOID,		 TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID,
								 TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID,
								 INT8OID,		 INT8OID,		 INT8OID, TEXTOID,
								 INT8OID,		 INT4OID,		 INT4OID, BOOLOID };
	static Statement update = {
		"UPDATE featul_integrations.health h SET"
		" last_triggered_at = coalesce(s.triggered_at, h.last_triggered_at),"
		" failures = s.failures, failing_since = s.failing_since, held_since = s.held_since,"
		" hold_until = s.hold_until, last_http_status = s.http_status, last_error = s.error,"
		" delivered = h.delivered + s.delivered, failed = h.failed + s.failed,"
		" retried = h.retried + s.retried,"
		" latency = featul_integrations.latency_add(h.latency, s.latency::bigint[]),"
		" latency_sum_ms = h.latency_sum_ms + s.latency_sum, failing_days = s.failing_days,"
		" response_ms = s.response_ms, told_failing = s.failing"
		" FROM (SELECT o.told_failing AS told, s.* FROM"
		" unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
		" WITH ORDINALITY s (id, triggered_at, failures, failing_since, held_since, hold_until,"
		" http_status, error, delivered, failed, retried, latency, latency_sum, failing_days,"
		" response_ms, failing, n)"
		" CROSS JOIN LATERAL (SELECT l.told_failing FROM featul_integrations.health l"
		" WHERE l.integration_id = s.id FOR NO KEY UPDATE SKIP LOCKED) o) s"
		" WHERE h.integration_id = s.id RETURNING s.n, s.told <> s.failing",
		16,
		{ UUIDARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID,
		  TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
		  INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, INT8ARRAYOID,
		  INT4ARRAYOID, INT4ARRAYOID, BOOLARRAYOID }
	};
	Columns columns;

	columns_init(&columns, lengthof(types), count);
	for (int i = 0; i < count; i++)
	{
		const HealthChange *change = &changes[i];

		columns.values[0][i] = UUIDPGetDatum(&change->integration_id);
		columns_set_time(&columns, 1, i, change->triggered_at);
		columns.values[2][i] = Int32GetDatum(change->failures);
		columns_set_time(&columns, 3, i, change->failing_since);
		columns_set_time(&columns, 4, i, change->held_since);
		columns_set_time(&columns, 5, i, change->hold_until);
		columns_set_int(&columns, 6, i, change->http_status, 0);
		columns_set_text(&columns, 7, i, change->error);
		columns.values[8][i] = Int64GetDatum(change->delivered);
		columns.values[9][i] = Int64GetDatum(change->failed);
		columns.values[10][i] = Int64GetDatum(change->retried);
		columns_set_text(&columns, 11, i, latency_text(change));
		columns.values[12][i] = Int64GetDatum(change->latency_sum);
		columns.values[13][i] = Int32GetDatum(change->failing_days);
		columns_set_int(&columns, 14, i, change->response_ms, -1);
		columns.values[15][i] = BoolGetDatum(change->failing);
	}
	statement_run_columns(&update, &columns, types, SPI_OK_UPDATE_RETURNING);
	for (int i = 0; i < SPI_processed; i++)
	{
		HealthChange *change = &changes[DatumGetInt64(result_datum(i, 1, NULL)) - 1];

		change->saved = true;
		change->turned = DatumGetBool(result_datum(i, 2, NULL));
	}
	SPI_freetuptable(SPI_tuptable);
}

/* See table_health.h. */
void
health_save(HealthChange *changes, int count)
{
	static Statement locked = {
		"SELECT FROM featul_integrations.health WHERE integration_id = $1", 1, { UUIDOID }
	};

	save_unlocked(changes, count);
	for (int i = 0; i < count; i++)
	{
		Datum values[1] = { UUIDPGetDatum(&changes[i].integration_id) };

		if (changes[i].saved)
			continue;
		/* without a row there is nothing to save */
		statement_run(&locked, values, NULL, SPI_OK_SELECT, 1);
		changes[i].saved = SPI_processed == 0;
	}
}
