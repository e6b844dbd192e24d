/*
 * user_context.h
 *		Acting as another role: the extension's owner inside a trigger on somebody else's
 *		table, or that table's owner.
 *
 * What SECURITY DEFINER and SET search_path would do for a function, but only
 * where a trigger has something to do: most calls have not, and must cost
 * next to nothing.
 */
#ifndef FEATUL_USER_CONTEXT_H
#define FEATUL_USER_CONTEXT_H

#include "application/source.h"

typedef struct UserContext
{
	Oid user;
	int security_context;
} UserContext;

/*
 * Becomes the owner of one of the application's tables, for statements that
 * read it and nothing of ours: the planner evaluates what that role has hung
 * on its table (index expressions, constraints), which must run with no other
 * rights than its own.  As a foreign key's checks do it, row-level security
 * included.  An error that leaves the (sub)transaction undoes it as well.
 */
extern void user_context_as_table_owner(UserContext *state, Oid relation);

/*
 * Likewise for the table bound as this source, unless its binding calls
 * functions that are not PostgreSQL's own: those are promised the rights of the
 * extension's owner, who then trusts the table's owner (SECURITY.md).
 */
extern void user_context_as_reader(UserContext *state, Source source);

/* The owner of a table; InvalidOid if it is gone. */
extern Oid table_owner(Oid relation);

/*
 * Becomes the owner of this function.  An error that leaves the
 * (sub)transaction undoes it as well.
 */
extern void user_context_as_extension(UserContext *state, Oid function);
extern void user_context_restore(const UserContext *state);

#endif /* FEATUL_USER_CONTEXT_H */
