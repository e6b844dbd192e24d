/*
 * bindings_view.c
 *		What the view featul_integrations.bindings shows: what is bound, and
 *		whether it still holds.  Changes nothing.
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "application/attach.h"
#include "application/expression.h"
#include "application/replicated.h"
#include "base/compat.h"
#include "base/own_query.h"
#include "base/safe_settings.h"
#include "base/subtransaction.h"

/* A source as it is bound. */
typedef struct Bound
{
	Oid			relid; /* InvalidOid: it is not */
	bool		is_replicated;
	bool		by_hand[MAX_COLUMNS];
	const char *expression[MAX_COLUMNS]; /* NULL: absent */
} Bound;

/* A stored expression that is tried. */
typedef struct TriedExpression
{
	Oid			relid;
	Source		source;
	int			column;
	const char *expression;
} TriedExpression;

/* Takes one row of the query below. */
static void
take_binding(Bound *bound, HeapTuple row, TupleDesc columns)
{
	bool   isnull;
	char  *name = SPI_getvalue(row, columns, 1);
	char  *canonical = SPI_getvalue(row, columns, 3);
	Source source = source_by_name(name, strlen(name));
	int	   column;

	if (source == SOURCE_COUNT)
		return;
	column = column_by_name(source, canonical, strlen(canonical));
	if (column < 0)
		return;
	bound[source].relid = DatumGetObjectId(SPI_getbinval(row, columns, 2, &isnull));
	bound[source].expression[column] = SPI_getvalue(row, columns, 4);
	bound[source].by_hand[column] = DatumGetBool(SPI_getbinval(row, columns, 5, &isnull));
}

/* Reads the bindings as they are stored. */
static void
read_bound(Bound *bound)
{
	OwnQuery query;

	own_query_begin(&query);
	own_query_execute("SELECT b.source, b.relation::oid, c.key, c.value,"
					  " b.table_by_hand OR c.key = ANY (b.columns_by_hand)"
					  " FROM featul_integrations.binding b, jsonb_each_text(b.columns) c",
					  SPI_OK_SELECT);
	MemoryContextSwitchTo(query.memory);
	for (uint64 i = 0; i < SPI_processed; i++)
		take_binding(bound, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	own_query_end(&query);
}

/* Step: raises what is wrong with the expression. */
static void
try_expression(void *argument)
{
	const TriedExpression *trial = argument;
	Relation			   relation = table_open(trial->relid, AccessShareLock);
	int					   nest = safe_settings_begin();
	Node				  *bare;

	(void) expression_parse(relation, source_definitions[trial->source].name,
							trial->source, trial->column, trial->expression, &bare);
	safe_settings_end(nest);
	table_close(relation, NoLock);
}

/* "ok", or what is wrong with one column. */
static const char *
column_state(Oid relid, Source source, int column, const char *expression)
{
	TriedExpression trial = { relid, source, column, expression };
	ErrorData *error = expression ? subtransaction_run(try_expression, &trial) : NULL;

	return error ? error->message : "ok";
}

/* Finds out which of them a subscription writes to; true if there is any. */
static bool
find_replicated(Bound *bound)
{
	bool is_node = false;

	for (Source source = 0; source < SOURCE_COUNT; source++)
	{
		bound[source].is_replicated =
			OidIsValid(bound[source].relid) && replicated_source(source);
		is_node = is_node || bound[source].is_replicated;
	}
	return is_node;
}

/* What is wrong with a source as a whole; NULL: nothing. */
static const char *
source_problem(Source source, const Bound *bound, bool is_node)
{
	if (get_rel_name(bound->relid) == NULL)
		return "the table does not exist any more";
	if (is_node && !bound->is_replicated)
		return "the table is not replicated, as others are";
	return attach_trigger_problem(source, bound->relid);
}

/* The rows of one source. */
static void
return_source(ReturnSetInfo *result, Source source, const Bound *bound, bool is_node)
{
	const SourceDefinition *definition = &source_definitions[source];
	const char			   *problem = source_problem(source, bound, is_node);

	for (int i = 0; definition->columns[i].name; i++)
	{
		const char *expression = bound->expression[i];
		bool		nulls[6] = { false };
		Datum		values[] = {
				  CStringGetTextDatum(definition->name),
				  ObjectIdGetDatum(bound->relid),
				  CStringGetTextDatum(definition->columns[i].name),
			  expression ? CStringGetTextDatum(expression) : (Datum) 0,
				  BoolGetDatum(bound->by_hand[i]),
				  CStringGetTextDatum(
					  problem ? problem : column_state(bound->relid, source, i, expression)),
		};

		nulls[3] = expression == NULL;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

FEATUL_FUNCTION(featul_bindings);

/* featul_integrations.bindings() */
Datum
featul_bindings(PG_FUNCTION_ARGS)
{
	Bound bound[SOURCE_COUNT] = { 0 };
	bool  is_node;

	InitMaterializedSRF(fcinfo, 0);
	read_bound(bound);
	is_node = find_replicated(bound);
	for (Source source = 0; source < SOURCE_COUNT; source++)
		if (OidIsValid(bound[source].relid))
			return_source((ReturnSetInfo *) fcinfo->resultinfo, source, &bound[source],
						  is_node);
	return (Datum) 0;
}
