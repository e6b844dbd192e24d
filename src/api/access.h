/*
 * access.h
 *		Who may do what: the acting user, the workspace, role and plan.
 */
#ifndef FEATUL_ACCESS_H
#define FEATUL_ACCESS_H

#include "base/compat.h"

typedef struct Workspace
{
	char *id;
	char *name;
	char *slug;
	bool  paid; /* its plan has integrations */
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
