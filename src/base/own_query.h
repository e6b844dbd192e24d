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

#endif /* FEATUL_OWN_QUERY_H */
