/*
 * statement.c
 *		The worker's way to its tables: a transaction bracket around SPI, and
 *		statements that are prepared once and kept.
 *
 * Each statement is written so that there is but one way to run it: through an
 * index, from the few rows that are given (OFFSET 0 keeps them outside, IS NOT
 * DISTINCT FROM keeps the index on xid out of it), since statistics can be of a
 * time when the tables were empty.  Those that change rows which a session could
 * hold locked (integration, health) skip what is locked; rows of queue are the
 * worker's own.
 */
#include "postgres.h"

#include "access/xact.h"
#include "pgstat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "delivery/statement.h"

/* Of the transaction bracket that is open. */
static MemoryContext result_context = NULL;

/* See statement.h. */
void
table_init_session(void)
{
	static const char *const settings[][2] = {
		/* catalogs first, whatever ALTER ROLE or ALTER DATABASE say */
		{ "search_path", "pg_catalog, pg_temp" },
		/* nobody's transaction may stop us for long */
		{ "lock_timeout", "1s" },
		{ "statement_timeout", "0" },
		{ "idle_in_transaction_session_timeout", "0" },
		{ "transaction_timeout", "0" }, /* since 17 */
		{ "default_transaction_isolation", "read committed" },
		{ "default_transaction_read_only", "off" },
		{ "session_replication_role", "origin" },
		{ "row_security", "on" },
		/* what matters is flushed: table_flush_at_commit() */
		{ "synchronous_commit", "off" },
		/* few rows through an index, whatever the statistics of the moment */
		{ "plan_cache_mode", "force_generic_plan" },
		{ "enable_seqscan", "off" },
		{ "enable_bitmapscan", "off" },
		{ "enable_hashjoin", "off" },
		{ "enable_mergejoin", "off" },
		{ "enable_memoize", "off" },
		{ "max_parallel_workers_per_gather", "0" },
		{ "jit", "off" },
	};

	for (int i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* See statement.h. */
void
table_begin(const char *activity)
{
	Assert(!IsTransactionState());
	result_context = CurrentMemoryContext;
	pgstat_report_activity(STATE_RUNNING, activity);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* See statement.h. */
void
table_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(result_context);
	pgstat_report_stat(false);
}

/* See statement.h. */
void
table_flush_at_commit(void)
{
	(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* See statement.h. */
MemoryContext
table_context(void)
{
	return result_context;
}

/* Raises an error where SPI says anything else. */
static void
check_statement(const char *sql, int result, int expected)
{
	if (result != expected)
		elog(ERROR, "\"%s\" returned %s", sql, SPI_result_code_string(result));
}

/* See statement.h. */
void
statement_run_once(const char *sql, int expected)
{
	check_statement(sql, SPI_execute(sql, false, 0), expected);
}

/* See statement.h. */
void
statement_run(Statement *statement, Datum *values, const char *nulls, int expected,
			  long limit)
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
	check_statement(statement->sql, result, expected);
}

/* ------------------------------------------------------------------------
 * Arrays as parameters
 * ------------------------------------------------------------------------ */

/* See statement.h. */
Datum
array_of(Datum *values, bool *nulls, int count, Oid type)
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

/* See statement.h. */
void
columns_init(Columns *columns, int parameters, int count)
{
	columns->count = count;
	for (int i = 0; i < parameters; i++)
	{
		columns->values[i] = palloc(count * sizeof(Datum));
		columns->nulls[i] = palloc0(count * sizeof(bool));
	}
}

/* See statement.h. */
void
columns_set_text(Columns *columns, int parameter, int row, const char *text)
{
	columns->nulls[parameter][row] = text == NULL;
	columns->values[parameter][row] = text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* See statement.h. */
void
columns_set_time(Columns *columns, int parameter, int row, TimestampTz at)
{
	columns->nulls[parameter][row] = at == 0;
	columns->values[parameter][row] = TimestampTzGetDatum(at);
}

/* See statement.h. */
void
columns_set_int(Columns *columns, int parameter, int row, int value, int null_value)
{
	columns->nulls[parameter][row] = value == null_value;
	columns->values[parameter][row] = Int32GetDatum(value);
}

/* See statement.h. */
void
statement_run_columns(Statement *statement, Columns *columns, const Oid *element_types,
					  int expected)
{
	Datum values[STATEMENT_PARAMETERS];

	for (int i = 0; i < statement->count; i++)
		values[i] = array_of(columns->values[i], columns->nulls[i], columns->count,
							 element_types[i]);
	statement_run(statement, values, NULL, expected, 0);
}

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

/* See statement.h. */
Datum
result_datum(int row, int number, bool *null)
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

/* See statement.h. */
char *
result_text(int row, int number)
{
	bool		  null;
	Datum		  value = result_datum(row, number, &null);
	MemoryContext old_context;
	char		 *result;

	if (null)
		return NULL;
	old_context = MemoryContextSwitchTo(result_context);
	result = TextDatumGetCString(value);
	MemoryContextSwitchTo(old_context);
	return result;
}

/* See statement.h. */
pg_uuid_t
result_uuid(int row, int number)
{
	bool  null;
	Datum value = result_datum(row, number, &null);

	if (null)
		elog(ERROR, "column %d of the result is NULL", number);
	return *DatumGetUUIDP(value);
}

/* See statement.h. */
bool
result_is_true(void)
{
	bool is_true = SPI_processed > 0 && DatumGetBool(result_datum(0, 1, NULL));

	SPI_freetuptable(SPI_tuptable);
	return is_true;
}
