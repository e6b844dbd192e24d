/*
 * own_role.h
 *		The role that the extension acts as: featul_integrations, which can do
 *		nothing but own the extension's tables.
 */
#ifndef FEATUL_OWN_ROLE_H
#define FEATUL_OWN_ROLE_H

/* The role: whoever owns the extension's schema; InvalidOid if there is none. */
extern Oid own_role(void);

/*
 * Makes this background process a session of that role, for good; before its first
 * transaction that does anything.  False if the database has no such schema.
 */
extern bool own_role_adopt(void);

#endif /* FEATUL_OWN_ROLE_H */
