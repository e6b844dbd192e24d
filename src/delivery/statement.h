/*
 * statement.h
 *		The worker's way to its tables: a transaction bracket around SPI, and
 *		statements that are prepared once and kept.
 *
 * What goes into a table, and what comes out, is for table_*.c to know.
 * Statements run between table_begin() and table_commit() and may raise any
 * error; the caller then aborts the transaction.
 */
#ifndef FEATUL_STATEMENT_H
#define FEATUL_STATEMENT_H

#include "executor/spi.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define STATEMENT_PARAMETERS 16

/* A statement, prepared when it is first used. */
typedef struct Statement
{
	const char *sql;
	int			count; /* of its parameters */
	Oid			types[STATEMENT_PARAMETERS];
	SPIPlanPtr	plan;
} Statement;

/* Session settings that the statements rely on; once, after connecting. */
extern void table_init_session(void);

/*
 * The transaction bracket; activity is what pg_stat_activity shows.  Results are
 * palloc'd in the context that is current at table_begin(), which is current
 * again after table_commit().
 */
extern void			 table_begin(const char *activity);
extern void			 table_commit(void);
extern MemoryContext table_context(void);

/* This transaction is flushed, here if nowhere else, before it becomes visible. */
extern void table_flush_at_commit(void);

/* Runs a statement; its result must be the expected one (SPI_OK_...). */
extern void statement_run(Statement *statement, Datum *values, const char *nulls,
						  int expected, long limit);

/* Likewise one that is not kept. */
extern void statement_run_once(const char *sql, int expected);

/*
 * Parameters of a statement all of which are arrays: a column per parameter, a
 * value per row.
 */
typedef struct Columns
{
	int	   count; /* rows */
	Datum *values[STATEMENT_PARAMETERS];
	bool  *nulls[STATEMENT_PARAMETERS];
} Columns;

/* Makes room for so many rows (in the current context), none of them NULL. */
extern void columns_init(Columns *columns, int parameters, int count);

/* Sets one value: NULL without a text, at time 0, or if it is the null value. */
extern void columns_set_text(Columns *columns, int parameter, int row, const char *text);
extern void columns_set_time(Columns *columns, int parameter, int row, TimestampTz at);
extern void columns_set_int(Columns *columns, int parameter, int row, int value,
							int null_value);

/* Runs it with the columns as arrays, given their elements' types. */
extern void statement_run_columns(Statement *statement, Columns *columns,
								  const Oid *element_types, int expected);

/* An array of a type out of count values; nulls may be NULL. */
extern Datum array_of(Datum *values, bool *nulls, int count, Oid type);

/*
 * Values of the last result, rows from 0, columns from 1: Datum 0 and *null set if
 * NULL; a text in the result context, NULL if NULL; a uuid, copied.
 */
extern Datum	 result_datum(int row, int number, bool *null);
extern char		*result_text(int row, int number);
extern pg_uuid_t result_uuid(int row, int number);

/* True if the last result's first value is true; frees the result. */
extern bool result_is_true(void);

#endif /* FEATUL_STATEMENT_H */
