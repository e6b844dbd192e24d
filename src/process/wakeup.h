/*
 * wakeup.h
 *		What a transaction tells the workers and the launcher when it commits.
 *
 * Harmless where the library is not preloaded: then there is nobody to tell.
 */
#ifndef FEATUL_WAKEUP_H
#define FEATUL_WAKEUP_H

#include "utils/uuid.h"

/*
 * Notes that this transaction queued deliveries: when it commits (or is
 * prepared), the workers of this database are woken.  Nothing happens if it
 * aborts.  Cheap enough for every captured statement.
 */
extern void wakeup_workers_at_commit(void);

/*
 * Likewise for a change of an integration, or of its health: the workers read it
 * again.  A change of the table integration is noted by its trigger.
 */
extern void wakeup_integration_at_commit(const pg_uuid_t *id);

/* Likewise where it is not known which changed: they read all of them again. */
extern void wakeup_reload_at_commit(void);

/*
 * Likewise after CREATE EXTENSION: the launcher looks at this database, and at
 * the list of databases.
 */
extern void wakeup_launcher_at_commit(void);

/* At once, outside of any transaction: COMMIT PREPARED has no commit callback. */
extern void wakeup_workers_now(void);

#endif /* FEATUL_WAKEUP_H */
