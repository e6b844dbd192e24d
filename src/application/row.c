/*
 * row.c
 *		Rows of the application's tables in canonical columns.
 *
 * Most bound columns are plain columns and read straight from the slot; an
 * expression is compiled when a row first needs it.
 */
#include "postgres.h"

#include "application/row.h"
#include "application/user_context.h"
#include "base/safe_settings.h"

/* See row.h. */
RowReader *
row_reader(BoundRelation *relation)
{
	RowReader *reader = palloc0(sizeof(RowReader));

	reader->relation = relation;
	reader->own.memory = CurrentMemoryContext;
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
 * What its expressions are evaluated with.  It is kept with the relation, but for one
 * that calls functions that may come by here again: that one is the reader's own.
 */
static Evaluation *
evaluation_of(RowReader *reader)
{
	return reader->relation->unsafe_functions ? &reader->own
											  : &reader->relation->evaluation;
}

/* Reads these columns. */
static Row *
read_columns(RowReader *reader, TupleTableSlot *slot, uint32 columns)
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
			datum = expression_evaluate(evaluation_of(reader), i, column->planned, slot,
										&isnull);
		else if (column_defaults_to_true(reader->relation->source, i))
		{
			datum = BoolGetDatum(true);
			isnull = false;
		}
		row->value[i] = value_from_datum(definitions[i].type, datum, isnull);
	}
	return row;
}

/*
 * See row.h.  An expression that depends on the session, or calls functions of others,
 * finds the settings fixed, and the extension's role.
 */
Row *
row_read(RowReader *reader, TupleTableSlot *slot, uint32 columns)
{
	BoundRelation *relation = reader->relation;
	UserContext	   caller;
	int			   settings;
	Row			  *row;

	if (!relation->unsafe_functions && !relation->mutable_functions)
		return read_columns(reader, slot, columns);
	user_context_as_extension(&caller);
	settings = safe_settings_begin();
	row = read_columns(reader, slot, columns);
	safe_settings_end(settings);
	user_context_restore(&caller);
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
