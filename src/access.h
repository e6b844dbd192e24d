/*
 * access.h
 *		Who may do what: the acting user, the workspace, role and plan.
 */
#ifndef FEATUL_ACCESS_H
#define FEATUL_ACCESS_H

#include "compat.h"

/* SQLSTATEs that PostgREST turns into HTTP statuses */
#define ERRCODE_FEATUL_BAD_ARGUMENT MAKE_SQLSTATE('P', 'T', '4', '0', '0')
#define ERRCODE_FEATUL_UNAUTHENTICATED MAKE_SQLSTATE('P', 'T', '4', '0', '1')
#define ERRCODE_FEATUL_FORBIDDEN MAKE_SQLSTATE('P', 'T', '4', '0', '3')
#define ERRCODE_FEATUL_NOT_FOUND MAKE_SQLSTATE('P', 'T', '4', '0', '4')
#define ERRCODE_FEATUL_DELIVERY_FAILED MAKE_SQLSTATE('P', 'T', '5', '0', '0')

typedef struct Workspace
{
	char *id;
	char *name;
	char *slug;
	bool  paid; /* plan is starter or professional */
} Workspace;

typedef enum Permission
{
	PERMISSION_VIEW,  /* "view integrations" */
	PERMISSION_TEST,  /* "test integrations" */
	PERMISSION_MANAGE /* "manage integrations" */
} Permission;

/* 401 unless there is an acting user (or operator).  First check of every call. */
extern void access_authenticate(void);

/*
 * 404 and 403 checks, in the contract's order; the workspace in the current
 * context.  Needs an SPI connection.
 */
extern Workspace *access_workspace(const char *slug, Permission permission,
								   bool needs_plan);

/*
 * Keeps the workspace from being deleted until this transaction ends, as a
 * foreign key would; 404 if it is gone by now.  Needs an SPI connection.
 */
extern void access_lock_workspace(const Workspace *workspace);

/* Raises 404. */
pg_noreturn extern void access_workspace_not_found(void);

#endif /* FEATUL_ACCESS_H */
