/*
 * user_context.h
 *		Acting as the extension's owner inside a trigger on somebody else's table.
 *
 * What SECURITY DEFINER and SET search_path would do for a function, but only
 * where a trigger has something to do: most calls have not, and must cost
 * next to nothing.
 */
#ifndef FEATUL_OWNER_H
#define FEATUL_OWNER_H

#include "executor/spi.h"

#include "application/binding.h"

typedef struct OwnerState
{
	Oid user;
	int security_context;
} OwnerState;

/*
 * Becomes the owner of one of the application's tables, for statements that
 * read it and nothing of ours: the planner evaluates what that role has hung
 * on its table (index expressions, constraints), which must run with no other
 * rights than its own.  As a foreign key's checks do it, row-level security
 * included.  An error that leaves the (sub)transaction undoes it as well.
 */
extern void owner_table_begin(OwnerState *state, Oid relation);

/*
 * Likewise for the table bound as this source, unless its binding calls
 * functions that are not PostgreSQL's own: those are promised the rights of the
 * extension's owner, who then trusts the table's owner (SECURITY.md).
 */
extern void owner_bound_begin(OwnerState *state, Source source);

/* The owner of a table; InvalidOid if it is gone. */
extern Oid owner_of_table(Oid relation);

/*
 * Becomes the owner of this function.  An error that leaves the
 * (sub)transaction undoes it as well.
 */
extern void owner_begin(OwnerState *state, Oid function);
extern void owner_end(const OwnerState *state);

/* A query of ours, as the owner or in a SECURITY DEFINER function. */
typedef struct OwnerQuery
{
	MemoryContext memory; /* the caller's: where results go */
	int			  guc_nest;
} OwnerQuery;

/* Connects to SPI, with search_path = pg_catalog, pg_temp. */
extern void owner_query_begin(OwnerQuery *query);
extern void owner_query_end(const OwnerQuery *query);

/*
 * Prepares a statement of ours when it is first needed in this process, with a
 * plan that does not depend on its arguments; inside a query.
 */
extern SPIPlanPtr owner_prepare(SPIPlanPtr *plan, const char *sql, int n_arguments,
								Oid *types);

#endif /* FEATUL_OWNER_H */
