/*
 * rows.c
 *		Rows of a source whose binding calls functions of others.
 *
 * A query has one role for all that it does: as the table's owner it would run the
 * binding's functions with that role's rights, as ours it could not read the table.
 * So the query reads plain columns, as the owner, and what is made of them is made
 * here, as for the rows of a trigger.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "application/rows.h"
#include "application/user_context.h"
#include "base/compat.h"
#include "base/own_query.h"

/* Rows fetched together */
#define FETCH_ROWS 100

/* One scan. */
typedef struct RowScan
{
	BoundRelation  *bound;
	Relation		relation;
	MemoryContext	memory; /* the caller's */
	RowReader	   *reader;
	TupleTableSlot *slot;
	int				column; /* to be compared here; -1: the query does it */
	ArrayType	   *texts;
} RowScan;

/* SELECT of all attributes by their numbers, dropped ones as NULL. */
static char *
scan_sql(const RowScan *scan, int column)
{
	TupleDesc	   desc = RelationGetDescr(scan->relation);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute form = TupleDescAttr(desc, i);

		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "",
						 form->attisdropped ? "NULL"
											: quote_identifier(NameStr(form->attname)));
	}
	appendStringInfo(&sql, " FROM %s AS %s", scan->bound->qualified_name,
					 scan->bound->alias);
	if (column >= 0)
		appendStringInfo(&sql, " WHERE %s = ANY ($1)", scan->bound->column[column].sql);
	return sql.data;
}

/* Is it one of those that are asked for? */
static bool
is_wanted(const RowScan *scan, const Row *row)
{
	Text		  text = row_text(row, scan->column);
	ArrayIterator iterator = array_create_iterator(scan->texts, 0, NULL);
	Datum		  datum;
	bool		  isnull;
	bool		  found = false;

	while (!found && text.data && array_iterate(iterator, &datum, &isnull))
		found = !isnull && text_equal(text, text_of_datum(datum));
	array_free_iterator(iterator);
	return found;
}

/* Makes a canonical row of one that the query has returned, and hands it over. */
static void
consume(RowScan *scan, HeapTuple tuple, TupleDesc desc, RowConsumer consumer,
		void *argument)
{
	MemoryContext caller = MemoryContextSwitchTo(scan->memory);
	Row			 *row;

	ExecClearTuple(scan->slot);
	heap_deform_tuple(tuple, desc, scan->slot->tts_values, scan->slot->tts_isnull);
	ExecStoreVirtualTuple(scan->slot);
	row = row_read(scan->reader, scan->slot, ~(uint32) 0);
	if (scan->column < 0 || is_wanted(scan, row))
		consumer(argument, row);
	MemoryContextSwitchTo(caller);
}

/* Runs the query as the table's owner, and everything else as who calls. */
static void
run_scan(RowScan *scan, const char *sql, RowConsumer consumer, void *argument)
{
	Oid			types[] = { TEXTARRAYOID };
	Datum		values[] = { PointerGetDatum(scan->texts) };
	UserContext caller;
	Portal		portal;

	user_context_as_table_owner(&caller, scan->bound->relid);
	portal = SPI_cursor_open_with_args(NULL, sql, scan->texts && scan->column < 0 ? 1 : 0,
									   types, values, NULL, false, 0);
	for (;;)
	{
		SPITupleTable *rows;
		uint64		   count;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		user_context_restore(&caller);
		rows = SPI_tuptable;
		count = SPI_processed;
		for (uint64 i = 0; i < count; i++)
			consume(scan, rows->vals[i], rows->tupdesc, consumer, argument);
		SPI_freetuptable(rows);
		user_context_as_table_owner(&caller, scan->bound->relid);
		if (count == 0)
			break;
	}
	SPI_cursor_close(portal);
	user_context_restore(&caller);
}

/* See rows.h. */
void
rows_scan(BoundRelation *bound, int column, Datum texts, RowConsumer consumer,
		  void *argument)
{
	bool	here = column >= 0 && bound->column[column].foreign;
	RowScan scan = { .bound = bound, .memory = CurrentMemoryContext, .column = -1 };

	scan.relation = relation_open(bound->relid, AccessShareLock);
	scan.reader = row_reader(bound);
	scan.slot = MakeSingleTupleTableSlot(RelationGetDescr(scan.relation), &TTSOpsVirtual);
	if (column >= 0)
		scan.texts = DatumGetArrayTypeP(texts);
	if (here)
		scan.column = column;
	run_scan(&scan, scan_sql(&scan, here ? -1 : column), consumer, argument);
	ExecDropSingleTupleTableSlot(scan.slot);
	relation_close(scan.relation, NoLock);
}

/* ------------------------------------------------------------------------
 * As a function, for queries (binding_append_rows())
 * ------------------------------------------------------------------------ */

/* Where bound_rows() puts its rows. */
typedef struct RowSink
{
	ReturnSetInfo		   *result;
	const ColumnDefinition *columns;
} RowSink;

/* RowConsumer: appends the row to the function's result. */
static void
put_row(void *argument, Row *row)
{
	RowSink *sink = argument;
	Datum	 values[MAX_COLUMNS];
	bool	 nulls[MAX_COLUMNS];

	for (int i = 0; sink->columns[i].name; i++)
	{
		const Value *value = &row->value[i];

		nulls[i] = value->isnull;
		if (value->isnull)
			values[i] = (Datum) 0;
		else if (sink->columns[i].type == COLUMN_TEXT)
			values[i] = PointerGetDatum(
				cstring_to_text_with_len(value->text.data, value->text.length));
		else if (sink->columns[i].type == COLUMN_FLAG)
			values[i] = BoolGetDatum(value->flag);
		else if (sink->columns[i].type == COLUMN_NUMBER)
			values[i] = Int64GetDatum(value->number);
		else
			values[i] = TimestampTzGetDatum(value->time);
	}
	tuplestore_putvalues(sink->result->setResult, sink->result->setDesc, values, nulls);
}

FEATUL_FUNCTION(featul_bound_rows);

/* featul_integrations.bound_rows(source, canonical, value): see the install script. */
Datum
featul_bound_rows(PG_FUNCTION_ARGS)
{
	char		  *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char		  *column = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Datum		   value = PG_GETARG_DATUM(2);
	Source		   source = source_by_name(name, strlen(name));
	RowSink		   sink = { .result = (ReturnSetInfo *) fcinfo->resultinfo };
	BoundRelation *bound;
	OwnQuery	   query;

	if (source == SOURCE_COUNT)
		elog(ERROR, "there is no source \"%s\"", name);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	bound = binding_of(source, binding_relid(source));
	if (bound == NULL)
		return (Datum) 0;
	sink.columns = source_definitions[source].columns;
	own_query_begin(&query);
	rows_scan(
		bound, column_by_name(source, column, strlen(column)),
		PointerGetDatum(construct_array(&value, 1, TEXTOID, -1, false, TYPALIGN_INT)),
		put_row, &sink);
	own_query_end(&query);
	return (Datum) 0;
}
