/*
 * workspace.h
 *		Workspaces that are deleted take their integrations with them; boards that
 *		move void what is remembered about them.
 */
#ifndef FEATUL_WORKSPACE_H
#define FEATUL_WORKSPACE_H

#include "capture/call.h"

/*
 * Longest id of a workspace with integrations: some of our indexes begin with it, and an index takes
 * no more than 2.7 kB.
 */
#define WORKSPACE_ID_MAX_BYTES 1024

/* DELETE of workspaces */
extern void capture_workspace_delete(Capture *capture);

/* A workspace that a subscription's worker deletes: if it is still gone at the end. */
extern void capture_workspace_row(Capture *capture);

/* UPDATE of workspaces, or of one row: integrations follow the id. */
extern void capture_workspace_update(Capture *capture);

/* TRUNCATE of workspaces, or of a part of them */
extern void capture_workspace_truncate(Capture *capture);

/*
 * Boards that may have another workspace than before: what every process
 * remembers about them is void.
 */
extern void capture_board(Capture *capture);

#endif /* FEATUL_WORKSPACE_H */
