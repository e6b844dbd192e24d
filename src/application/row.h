/*
 * row.h
 *		Rows of the application's tables in canonical columns.
 */
#ifndef FEATUL_ROW_H
#define FEATUL_ROW_H

#include "executor/tuptable.h"
#include "utils/timestamp.h"

#include "application/binding.h"
#include "application/expression.h"
#include "base/text.h"

/* One canonical value; a text is cut to what a payload can hold, and ends with a NUL. */
typedef struct Value
{
	bool isnull;
	union
	{
		Text		text; /* data is NULL too when isnull */
		bool		flag;
		int64		number;
		TimestampTz time;
	};
} Value;

typedef struct Row
{
	Value value[MAX_COLUMNS];
} Row;

/* Reads rows of one relation; lives in the memory context it was created in. */
typedef struct RowReader
{
	BoundRelation *relation;
	Evaluation	   own; /* for a relation with unsafe functions */
} RowReader;

extern RowReader *row_reader(BoundRelation *relation);

/*
 * The slot's row, copied to the current memory context.  Columns that are not
 * in the mask read as NULL.  Raises what an expression raises.
 */
extern Row *row_read(RowReader *reader, TupleTableSlot *slot, uint32 columns);

/* Bytes of a source's row with its texts. */
extern Size row_size(Source source, const Row *row);

/* A copy of it, in one piece. */
extern Row *row_copy(Source source, const Row *row, MemoryContext context);

/* A canonical value from a datum of the canonical type, copied. */
extern Value value_from_datum(ColumnType type, Datum datum, bool isnull);

/* A NULL flag is false, a NULL number zero, a NULL text has no data. */
static inline bool
row_flag(const Row *row, int column)
{
	return !row->value[column].isnull && row->value[column].flag;
}

static inline int64
row_number(const Row *row, int column)
{
	return row->value[column].isnull ? 0 : row->value[column].number;
}

static inline Text
row_text(const Row *row, int column)
{
	Text none = { 0 };

	return row == NULL || row->value[column].isnull ? none : row->value[column].text;
}

/* Equal, NULL being equal to NULL */
static inline bool
text_same(Text a, Text b)
{
	if (a.data == NULL || b.data == NULL)
		return a.data == b.data;
	return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

/* Equal, and neither is NULL */
static inline bool
text_equal(Text a, Text b)
{
	return a.data != NULL && text_same(a, b);
}

#endif /* FEATUL_ROW_H */
