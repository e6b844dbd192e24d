/*
 * own_query.h
 *		A session's statements over the extension's own tables, through SPI.
 */
#ifndef FEATUL_OWN_QUERY_H
#define FEATUL_OWN_QUERY_H

#include "executor/spi.h"

typedef struct OwnQuery
{
	MemoryContext memory; /* the caller's: where results go */
	int			  settings;
} OwnQuery;

/* Connects to SPI, under safe settings. */
extern void own_query_begin(OwnQuery *query);
extern void own_query_end(const OwnQuery *query);

/*
 * Prepares a statement of ours when it is first needed in this process, with a
 * plan that does not depend on its arguments; inside a query.
 */
extern SPIPlanPtr own_query_prepare(SPIPlanPtr *plan, const char *sql, int n_arguments,
									Oid *types);

/*
 * Each runs a statement inside a query, whose rows are in SPI_tuptable then, and raises an
 * error if it is not of the expected kind (SPI_OK_...): one that was saved, and one
 * that is needed but once.
 */
extern void own_query_run(SPIPlanPtr plan, Datum *arguments, int expected);
extern void own_query_execute(const char *sql, int expected);

/*
 * Likewise, but of rows that have been committed by now, whatever the transaction's
 * own snapshot sees; a saved SELECT.
 */
extern void own_query_read_latest(SPIPlanPtr plan);

/*
 * Runs a saved plan that changes rows of ours on account of the application's: whatever
 * rows have been committed by now, as a foreign key's actions do.  One that a snapshot
 * of the whole transaction (REPEATABLE READ) does not see is 40001.
 */
extern void own_query_change(SPIPlanPtr plan, Datum *arguments, int expected);

#endif /* FEATUL_OWN_QUERY_H */
