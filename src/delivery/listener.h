/*
 * listener.h
 *		Telling those who listen: that the log has something new, that an integration's
 *		status has changed.
 */
#ifndef FEATUL_LISTENER_H
#define FEATUL_LISTENER_H

#include "nodes/pg_list.h"
#include "utils/uuid.h"

/*
 * Tells of a list of settlements that have been recorded: a notification for each
 * workspace among them, if anybody listens.  A transaction of its own; false if that
 * failed, and the current context stays.
 */
extern bool listener_tell(List *settlements);

/* A change of an integration's status that nobody has asked for. */
typedef struct StatusChange
{
	pg_uuid_t	integration_id;
	const char *workspace_id; /* or NULL */
	const char *type;		  /* or NULL */
	const char *status;		  /* inactive, failing (only probes go out), active */
	const char *reason;		  /* one line without secrets, or NULL */
} StatusChange;

/*
 * Tells of it by NOTIFY featul_integrations, as part of the transaction that records
 * it, and once that has committed by a line in the server's log.
 */
extern void listener_tell_status(const StatusChange *change);
extern void listener_log_status(const StatusChange *change);

#endif /* FEATUL_LISTENER_H */
