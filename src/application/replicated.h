/*
 * replicated.h
 *		The application's tables on a delivery node: whether a change comes from the
 *		publisher, and whether the tables are copied.
 */
#ifndef FEATUL_REPLICATED_H
#define FEATUL_REPLICATED_H

#include "application/binding.h"

/*
 * Does this process write for a subscription?  Not so a session with
 * session_replication_role = replica.
 */
extern bool replicated_by_worker(void);

/*
 * Does what this worker of a subscription writes count as having happened now?  Not what
 * is copied, nor what came while a table was copied; and nothing at all while a bound
 * table is being copied, or has yet to be, by a subscription that is enabled.
 */
extern bool replicated_announced(void);

/* True if a subscription of this database writes to the source's table. */
extern bool replicated_source(Source source);

/*
 * Does a table hold all that the publisher's does: has a subscription that is enabled copied it?
 * True of any in a database without subscriptions.
 */
extern bool replicated_completely(Oid relid);

/*
 * Warns of what makes the bound tables unfit for a delivery node, where this database is one.
 * Inside SPI, after the bindings were written.
 */
extern void replicated_warn(void);

#endif /* FEATUL_REPLICATED_H */
