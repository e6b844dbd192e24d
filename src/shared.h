/*
 * shared.h
 *		What the processes share: worker slots, wake-ups and capture counters.
 *
 * Exists only when the library is preloaded (shared_available()); every
 * function here is harmless when it is not.
 */
#ifndef FEATUL_SHARED_H
#define FEATUL_SHARED_H

/* Requests shared memory and installs the hooks; called from _PG_init. */
extern void shared_init(void);

extern bool shared_available(void);

/*
 * Notes that this transaction queued deliveries: when it commits (or is
 * prepared), the workers of this database are woken.  Nothing happens if it
 * aborts.  Cheap enough for every captured statement.
 */
extern void shared_wake_workers_at_commit(void);

/*
 * Likewise after a change of integration rows (URL, filters, activity,
 * secrets): the workers read their configuration again.
 */
extern void shared_reload_workers_at_commit(void);

/* Likewise after CREATE EXTENSION: the launcher looks at this database. */
extern void shared_wake_launcher_at_commit(void);

/* Counters of view stat_capture, for the current database. */
extern void shared_count_captured(int64 events);
extern void shared_count_skipped(int64 rows);
extern void shared_count_failed(const char *error);

#endif							/* FEATUL_SHARED_H */
