/*
 * settler.h
 *		Results: judged, kept, and recorded in batches; health; the end of
 *		integrations.
 */
#ifndef FEATUL_SETTLER_H
#define FEATUL_SETTLER_H

#include "delivery/worker.h"

/* Once; what it needs is for good. */
extern void settler_init(Worker *worker);

/* Begins anew with nothing to record. */
extern void settler_reset(Worker *worker);

/* Judges all that has arrived. */
extern void settler_take_results(Worker *worker);

/* Holds of a whole channel: what this worker was told, all are, and the other way round. */
extern void settler_share_holds(Worker *worker);

/* Settles a delivery that cannot even be sent; the error is copied. */
extern void settler_fail(Worker *worker, Delivery *delivery, const char *error);

/*
 * True if nothing new must be started: results cannot be recorded, or too many
 * are not yet.
 */
extern bool settler_stuck(const Worker *worker);

/* Records results, the oldest first: some, if there are many. */
extern Moment settler_results_due(const Worker *worker);
extern bool	  settler_record(Worker *worker);

/* Writes down how integrations fare. */
extern Moment settler_health_due(const Worker *worker);
extern bool	  settler_save_health(Worker *worker);

/* Makes integrations inactive whose endpoint is gone. */
extern Moment settler_gone_due(const Worker *worker);
extern bool	  settler_deactivate(Worker *worker);

/* Cancels a batch of what is pending for an integration that is gone. */
extern Moment settler_closing_due(const Worker *worker);
extern bool	  settler_cancel(Worker *worker);

#endif /* FEATUL_SETTLER_H */
