/*
 * shared.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "shared.h"
void shared_init(void) {}
bool shared_available(void) { return false; }
void shared_wake_workers_at_commit(void) {}
void shared_reload_workers_at_commit(void) {}
void shared_wake_launcher_at_commit(void) {}
void shared_count_captured(int64 events) {}
void shared_count_skipped(int64 rows) {}
void shared_count_failed(const char *error) {}
