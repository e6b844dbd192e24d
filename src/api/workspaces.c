/*
 * workspaces.c
 *		featul_integrations.workspaces(): the application's workspaces, for what operators
 *		look at.  Asks nobody for a role: it is for the extension's own functions.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "api/api.h"
#include "api/query.h"
#include "application/binding.h"
#include "base/compat.h"

FEATUL_FUNCTION(featul_workspaces);

/* workspaces(ids text[], workspace_slug text): see the install script. */
Datum
featul_workspaces(PG_FUNCTION_ARGS)
{
	OwnQuery		query;
	ReturnSetInfo  *result = (ReturnSetInfo *) fcinfo->resultinfo;
	QueryParameters parameters = { 0 };
	StringInfoData	sql;
	int64			rows;

	InitMaterializedSRF(fcinfo, 0);
	if (!binding_attached())
		return (Datum) 0;

	query_begin(&query);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT w.id, w.slug, w.plan FROM ");
	binding_append_rows(&sql, SOURCE_WORKSPACE, -1, NULL, "w");
	appendStringInfoString(
		&sql, " WHERE w.id = ANY ($1) OR (w.slug = $2 AND w.id IS NOT NULL)");
	query_add(&parameters, TEXTARRAYOID, PG_GETARG_DATUM(0), PG_ARGISNULL(0));
	query_add(&parameters, TEXTOID, PG_GETARG_DATUM(1), PG_ARGISNULL(1));
	rows = query_read_bound(&parameters, SOURCE_WORKSPACE, sql.data);
	for (int row = 0; row < rows; row++)
	{
		char *slug = query_result(row, 2);
		Datum values[] = { CStringGetTextDatum(query_result(row, 1)),
						   slug ? CStringGetTextDatum(slug) : (Datum) 0,
						   BoolGetDatum(plan_is_paid(text_of(query_result(row, 3)))) };
		bool  nulls[] = { false, slug == NULL, false };

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	query_end(&query);
	return (Datum) 0;
}
