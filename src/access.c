/*
 * access.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "access.h"
void access_authenticate(void) {}
Workspace *access_workspace(const char *slug, Permission permission, bool needs_plan) { return NULL; }
