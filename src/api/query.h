/*
 * query.h
 *		Statements of the SQL API through SPI: parameters and results.
 *
 * Values always travel as parameters, never in a statement's text, which the
 * server shows in errors.  All stand between query_begin() and query_end(); numbers of rows and
 * columns count from 0 and 1.
 */
#ifndef FEATUL_QUERY_H
#define FEATUL_QUERY_H

#include "application/source.h"
#include "base/own_query.h"

#define QUERY_MAX_PARAMETERS 8

/* As own_query_begin(), but the current memory context stays: results outlive it. */
extern void query_begin(OwnQuery *query);
extern void query_end(const OwnQuery *query);

/* Parameters in order: $1, $2, ... */
typedef struct QueryParameters
{
	int	  count;
	Oid	  types[QUERY_MAX_PARAMETERS];
	Datum values[QUERY_MAX_PARAMETERS];
	char  nulls[QUERY_MAX_PARAMETERS];
} QueryParameters;

extern void query_add(QueryParameters *parameters, Oid type, Datum value, bool is_null);

/* A text; NULL is SQL's. */
extern void query_add_text(QueryParameters *parameters, const char *text);

/* Runs a statement that changes nothing; returns the number of rows. */
extern int64 query_read(QueryParameters *parameters, const char *sql);

/*
 * Likewise, of an application's table and of nothing else: as that table's
 * owner (user_context_as_table_owner()).
 */
extern int64 query_read_bound(QueryParameters *parameters, Source source,
							  const char *sql);

/* Runs any other; returns the number of rows returned or changed. */
extern int64 query_write(QueryParameters *parameters, const char *sql);

/* A value of the last result as text in the current context; NULL is SQL's. */
extern char *query_result(int row, int column);

/* A boolean of the last result; false for NULL. */
extern bool query_result_bool(int row, int column);

/* Appends the rows of the last result to a function's own; the types must agree. */
extern void query_put_rows(ReturnSetInfo *result);

#endif /* FEATUL_QUERY_H */
