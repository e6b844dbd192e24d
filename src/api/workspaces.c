/*
 * workspaces.c
 *		featul_integrations.workspaces(): the application's workspaces, for what operators
 *		look at.  Asks nobody for a role: it is for the extension's own functions.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"

#include "api/api.h"
#include "api/query.h"
#include "base/compat.h"

FEATUL_FUNCTION(featul_workspaces);

/* workspaces(ids text[], workspace_slug text): see the install script. */
Datum
featul_workspaces(PG_FUNCTION_ARGS)
{
	QueryParameters parameters = { 0 };
	StringInfoData	sql;

	InitMaterializedSRF(fcinfo, 0);
	if (!binding_attached())
		return (Datum) 0;

	api_spi_connect();
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT w.id, w.slug, w.name, w.plan FROM ");
	binding_append_relation(&sql, SOURCE_WORKSPACE, "w");
	appendStringInfoString(&sql, " WHERE w.id = ANY ($1) OR w.slug = $2");
	query_add(&parameters, TEXTARRAYOID, PG_GETARG_DATUM(0), PG_ARGISNULL(0));
	query_add(&parameters, TEXTOID, PG_GETARG_DATUM(1), PG_ARGISNULL(1));
	if (query_read_bound(&parameters, SOURCE_WORKSPACE, sql.data) > 0)
		query_put_rows((ReturnSetInfo *) fcinfo->resultinfo);
	api_spi_finish();
	return (Datum) 0;
}
