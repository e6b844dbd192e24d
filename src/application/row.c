/*
 * row.c
 *		Rows of the application's tables in canonical columns.
 *
 * Most bound columns are plain columns and read straight from the slot; an
 * expression is compiled when a row first needs it.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/plancache.h"

#include "application/row.h"

/* See row.h. */
RowReader *
row_reader(BoundRelation *relation)
{
	RowReader *reader = palloc0(sizeof(RowReader));

	reader->relation = relation;
	reader->memory = CurrentMemoryContext;
	return reader;
}

/* See row.h. */
Value
value_from_datum(ColumnType type, Datum datum, bool isnull)
{
	Value value = { .isnull = isnull };

	if (isnull)
		return value;
	switch (type)
	{
		case COLUMN_TEXT:
			value.text = text_of_datum(datum);
			break;
		case COLUMN_FLAG:
			value.flag = DatumGetBool(datum);
			break;
		case COLUMN_NUMBER:
			value.number = DatumGetInt64(datum);
			break;
		case COLUMN_TIME:
			value.time = DatumGetTimestampTz(datum);
			break;
	}
	return value;
}

/*
 * A column's expression, ready to run.  It is kept with the relation, but for
 * one that calls functions that may come by here again: that one is the reader's
 * own.
 */
static ExprState *
prepared_expression(RowReader *reader, int column)
{
	BoundRelation *relation = reader->relation;
	BoundColumn	  *bound = &relation->column[column];
	ExprState	 **state =
		   relation->unsafe_functions ? &reader->state[column] : &bound->state;

	if (*state == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(
			relation->unsafe_functions ? reader->memory : relation->context);

		*state = ExecInitExpr((Expr *) bound->planned->expr, NULL);
		MemoryContextSwitchTo(caller);
	}
	return *state;
}

/*
 * What expressions are evaluated in, kept likewise: some keep in its memory what they
 * found out the first time.
 */
static ExprContext *
expression_context(RowReader *reader)
{
	BoundRelation *relation = reader->relation;
	bool		   own = relation->unsafe_functions;
	ExprContext	 **context = own ? &reader->context : &relation->expression_context;

	if (*context == NULL)
	{
		MemoryContext caller =
			MemoryContextSwitchTo(own ? reader->memory : relation->context);

		*context = CreateStandaloneExprContext();
		MemoryContextSwitchTo(caller);
	}
	return *context;
}

/*
 * Evaluates a column that is not a plain one, in the caller's memory: a function may
 * lead back to here, and what that leaves must not end before this does.
 */
static Datum
evaluate(RowReader *reader, int column, TupleTableSlot *slot, bool *isnull)
{
	ExprState	   *state = prepared_expression(reader, column);
	ExprContext	   *context = expression_context(reader);
	TupleTableSlot *outer = context->ecxt_scantuple;
	Datum			result;

	context->ecxt_scantuple = slot;
	result = ExecEvalExpr(state, context, isnull);
	context->ecxt_scantuple = outer;
	return result;
}

/* See row.h. */
Row *
row_read(RowReader *reader, TupleTableSlot *slot, uint32 columns)
{
	Row					   *row = palloc(sizeof(Row));
	const ColumnDefinition *definitions =
		source_definitions[reader->relation->source].columns;

	if (columns & (columns - 1)) /* several: not one by one */
		slot_getallattrs(slot);
	for (int i = 0; definitions[i].name; i++)
	{
		const BoundColumn *column = &reader->relation->column[i];
		bool			   isnull = true;
		Datum			   datum = (Datum) 0;

		if ((columns & COLUMN_BIT(i)) == 0)
			;
		else if (column->plain)
			datum = slot_getattr(slot, column->plain, &isnull);
		else if (column->planned)
			datum = evaluate(reader, i, slot, &isnull);
		else if (column_defaults_to_true(reader->relation->source, i))
		{
			datum = BoolGetDatum(true);
			isnull = false;
		}
		row->value[i] = value_from_datum(definitions[i].type, datum, isnull);
	}
	return row;
}

/* See row.h. */
Size
row_size(Source source, const Row *row)
{
	const ColumnDefinition *definitions = source_definitions[source].columns;
	Size					size = sizeof(Row);

	for (int i = 0; definitions[i].name; i++)
		if (definitions[i].type == COLUMN_TEXT && !row->value[i].isnull)
			size += row->value[i].text.length + 1;
	return size;
}

/* See row.h. */
Row *
row_copy(Source source, const Row *row, MemoryContext context)
{
	const ColumnDefinition *definitions = source_definitions[source].columns;
	Row					   *copy = MemoryContextAlloc(context, row_size(source, row));
	char				   *end = (char *) (copy + 1);

	*copy = *row;
	for (int i = 0; definitions[i].name; i++)
	{
		Text *text = &copy->value[i].text;

		if (definitions[i].type != COLUMN_TEXT || row->value[i].isnull)
			continue;
		memcpy(end, text->data, text->length + 1);
		text->data = end;
		end += text->length + 1;
	}
	return copy;
}
