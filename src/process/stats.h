/*
 * stats.h
 *		The counters of capture and the state of the workers, for the views stat_*.
 *
 * Exists only when the library is preloaded; every function here is harmless
 * when it is not.
 */
#ifndef FEATUL_STATS_H
#define FEATUL_STATS_H

/* Requests shared memory; called from _PG_init while preloading. */
extern void stats_init(void);

/* View stat_capture: counters of the current database. */
extern void stats_count_captured(int64 events);
extern void stats_count_skipped(int64 rows);
extern void stats_count_failed(const char *error);

/* Forgets the counters of a database that no longer exists (the launcher). */
extern void stats_forget_database(Oid database);

/* View stat_worker: shows this process until it exits; then what it does. */
extern void stats_attach_worker(Oid database, int number);
extern void stats_report_config_loaded(void);
extern void stats_report_state(const char *state, int in_flight, int connections);
extern void stats_report_error(const char *message);

#endif /* FEATUL_STATS_H */
