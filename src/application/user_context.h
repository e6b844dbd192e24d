/*
 * user_context.h
 *		Acting as another role: the extension's role inside a trigger on somebody else's
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
	int settings; /* nest level of safe_settings_begin(), or 0 */
} UserContext;

/*
 * Becomes the owner of one of the application's tables, for statements that
 * read it and nothing of ours: the planner evaluates what that role has hung
 * on its table (index expressions, constraints), which must run with no other
 * rights than its own.  As a foreign key's checks do it, row-level security
 * included.  An error that leaves the (sub)transaction undoes it as well.
 */
extern void user_context_as_table_owner(UserContext *state, Oid relation);

/* The owner of a table; InvalidOid if it is gone. */
extern Oid table_owner(Oid relation);

/*
 * Becomes the extension's role.  An error that leaves the (sub)transaction undoes it as
 * well.
 */
extern void user_context_as_extension(UserContext *state);
extern void user_context_restore(const UserContext *state);

#endif /* FEATUL_USER_CONTEXT_H */
