/*
 * replicated.h
 *		The application's tables on a delivery node: whether a change comes from the
 *		publisher, and whether the tables are copied.
 */
#ifndef FEATUL_REPLICATED_H
#define FEATUL_REPLICATED_H

#include "application/binding.h"

/*
 * Does this process apply the changes of a subscription?  Neither a worker that copies
 * a table and lets it catch up, nor a session with session_replication_role =
 * replica.
 */
extern bool replicated_by_us(void);

/*
 * True if no bound table is being copied, or yet to be, by a subscription that is
 * enabled.  Needs a transaction.
 */
extern bool replicated_ready(void);

/* True if a subscription of this database writes to the source's table. */
extern bool replicated_source(Source source);

/*
 * Warns of what makes the bound tables unfit for a delivery node, where this database is one.
 * Inside SPI, after the bindings were written.
 */
extern void replicated_warn(void);

#endif /* FEATUL_REPLICATED_H */
