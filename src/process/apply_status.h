/*
 * apply_status.h
 *		How the subscriptions of a delivery node fare, beyond what PostgreSQL's own
 *		views say: how far behind the last applied change was, and the last error.
 *
 * Exists only when the library is preloaded.
 */
#ifndef FEATUL_APPLY_STATUS_H
#define FEATUL_APPLY_STATUS_H

/*
 * Requests shared memory, and begins to watch the apply workers: what they commit
 * and what they report; called from _PG_init while preloading.
 */
extern void apply_status_init(void);

#endif /* FEATUL_APPLY_STATUS_H */
