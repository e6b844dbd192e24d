/*
 * reader.h
 *		Reading: which integrations there are, and what is pending for them.
 *
 * Each reading is a step of its own: what it takes over it takes over whole.
 */
#ifndef FEATUL_READER_H
#define FEATUL_READER_H

#include "delivery/worker.h"

/* Once; what it needs is for good. */
extern void reader_init(Worker *worker);

/* Begins anew: all is to be read. */
extern void reader_reset(Worker *worker);

/* What other processes say has changed (SIGNAL_...). */
extern void reader_note(Worker *worker, uint32 signals);

/* Integrations: all, or those that changed. */
extern Moment reader_integrations_due(const Worker *worker);
extern bool	  reader_read_integrations(Worker *worker);

/* Which integrations have something pending: at the beginning. */
extern Moment reader_pending_due(const Worker *worker);
extern bool	  reader_read_pending(Worker *worker);

/* What has been committed since the last time. */
extern Moment reader_recent_due(const Worker *worker);
extern bool	  reader_read_recent(Worker *worker);

/* More rows of the lanes that have run low. */
extern Moment reader_lanes_due(const Worker *worker);
extern bool	  reader_read_lanes(Worker *worker);

/*
 * True if it will look for what is new by itself before long, so that nobody need
 * wake it; when that is, or 0 as long as nothing may be delivered.
 */
extern bool	  reader_naps(const Worker *worker, Moment now);
extern Moment reader_nap_over(const Worker *worker, Moment now);

#endif /* FEATUL_READER_H */
