/*
 * own_query.c
 *		A session's statements over the extension's own tables, through SPI.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/snapmgr.h"

#include "base/own_query.h"
#include "base/safe_settings.h"

/* See own_query.h. */
void
own_query_begin(OwnQuery *query)
{
	query->memory = CurrentMemoryContext;
	SPI_connect();
	query->settings = safe_search_path_begin();
}

/* See own_query.h. */
void
own_query_end(const OwnQuery *query)
{
	safe_settings_end(query->settings);
	SPI_finish();
}

/* See own_query.h. */
SPIPlanPtr
own_query_prepare(SPIPlanPtr *plan, const char *sql, int n_arguments, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr prepared =
			SPI_prepare_cursor(sql, n_arguments, types, CURSOR_OPT_GENERIC_PLAN);

		if (prepared == NULL)
			elog(ERROR, "SPI_prepare_cursor failed: %s",
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		*plan = prepared;
	}
	return *plan;
}

/* Raises an error where SPI says anything else. */
static void
check_result(int result, int expected)
{
	if (result != expected)
		elog(ERROR, "a statement of the extension's returned %s",
			 SPI_result_code_string(result));
}

/* See own_query.h. */
void
own_query_run(SPIPlanPtr plan, Datum *arguments, int expected)
{
	check_result(SPI_execute_plan(plan, arguments, NULL, false, 0), expected);
}

/* See own_query.h. */
void
own_query_execute(const char *sql, int expected)
{
	check_result(SPI_execute(sql, false, 0), expected);
}

/* See own_query.h. */
void
own_query_read_latest(SPIPlanPtr plan)
{
	check_result(SPI_execute_snapshot(plan, NULL, NULL, GetLatestSnapshot(),
									  InvalidSnapshot, true, false, 0),
				 SPI_OK_SELECT);
}

/* See own_query.h. */
void
own_query_change(SPIPlanPtr plan, Datum *arguments, int expected)
{
	if (!IsolationUsesXactSnapshot())
	{
		own_query_run(plan, arguments, expected);
		return;
	}
	CommandCounterIncrement();
	check_result(SPI_execute_snapshot(plan, arguments, NULL, GetLatestSnapshot(),
									  GetTransactionSnapshot(), false, true, 0),
				 expected);
}
