/*
 * query.c
 *		Statements of the SQL API through SPI: parameters and results.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/tuplestore.h"

#include "application/lookup.h"
#include "api/query.h"
#include "base/version.h"

/* See query.h. */
void
query_begin(OwnQuery *query)
{
	own_query_begin(query);
	version_check();
	MemoryContextSwitchTo(query->memory);
}

/* See query.h. */
void
query_end(const OwnQuery *query)
{
	own_query_end(query);
}

/* See query.h. */
void
query_add(QueryParameters *parameters, Oid type, Datum value, bool is_null)
{
	int n = parameters->count++;

	Assert(n < QUERY_MAX_PARAMETERS);
	parameters->types[n] = type;
	parameters->values[n] = value;
	parameters->nulls[n] = is_null ? 'n' : ' ';
}

/* See query.h. */
void
query_add_text(QueryParameters *parameters, const char *text)
{
	query_add(parameters, TEXTOID, text ? CStringGetTextDatum(text) : (Datum) 0,
			  text == NULL);
}

/*
 * auto_explain, where it is loaded and told so, logs the values of nested
 * statements, and these may be URLs and secrets: so not of ours.  Undone by
 * AtEOXact_GUC(true, result), or by an error.
 */
static int
hide_values(void)
{
	static const char setting[] = "auto_explain.log_nested_statements";
	int				  nest = NewGUCNestLevel();

	if (GetConfigOption(setting, true, false) != NULL)
		(void) set_config_option(setting, "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

/* SPI leaves its own memory context behind as the current one: not here. */
static int64
run_hiding_values(QueryParameters *parameters, const char *sql, bool read_only)
{
	MemoryContext context = CurrentMemoryContext;
	int			  nest = hide_values();
	int			  code = SPI_execute_with_args(sql, parameters->count, parameters->types,
											   parameters->values, parameters->nulls, read_only, 0);

	AtEOXact_GUC(true, nest);
	MemoryContextSwitchTo(context);
	if (code < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(code));
	return SPI_processed;
}

/* See query.h. */
int64
query_read(QueryParameters *parameters, const char *sql)
{
	return run_hiding_values(parameters, sql, true);
}

/* See query.h. */
int64
query_read_bound(QueryParameters *parameters, Source source, const char *sql)
{
	UserContext state;
	int64		rows;

	lookup_as_reader(&state, source);
	rows = run_hiding_values(parameters, sql, true);
	user_context_restore(&state);
	return rows;
}

/* See query.h. */
int64
query_write(QueryParameters *parameters, const char *sql)
{
	return run_hiding_values(parameters, sql, false);
}

/* See query.h. */
char *
query_result(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/* See query.h. */
bool
query_result_bool(int row, int column)
{
	bool  is_null;
	Datum value =
		SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);

	return !is_null && DatumGetBool(value);
}

/* See query.h. */
void
query_put_rows(ReturnSetInfo *result)
{
	for (uint64 n = 0; n < SPI_processed; n++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[n]);
}
