/*
 * settler.h
 *		Results: judged, kept, and recorded in batches; health; the end of
 *		integrations.
 */
#ifndef FEATUL_SETTLER_H
#define FEATUL_SETTLER_H

#include "base/clock.h"
#include "delivery/dispatch.h"
#include "delivery/recovery.h"

typedef struct Settler
{
	Recovery	 *recovery;
	Dispatch	 *dispatch;
	HttpClient	 *http;
	MemoryContext context;	 /* of what is unsettled and what it points to */
	List		 *unsettled; /* of Settlement *, to be recorded, oldest first */
	Moment		  since;	 /* when the oldest came in */
	int			  failures;	 /* of recording, in a row */
} Settler;

/* Once; its contexts are for good. */
extern void settler_init(Settler *settler, Recovery *recovery);

/* Begins anew with nothing to record. */
extern void settler_reset(Settler *settler, Dispatch *dispatch, HttpClient *http);

/* Judges all that has arrived. */
extern void settler_take_results(Settler *settler);

/* Holds of a whole channel: what this worker was told, all are, and the other way round. */
extern void settler_share_holds(Settler *settler);

/* Settles a delivery that cannot even be sent; the error is copied. */
extern void settler_fail(Settler *settler, Delivery *delivery, const char *error);

/*
 * True if nothing new must be started: results cannot be recorded, or too many
 * are not yet.
 */
extern bool settler_stuck(const Settler *settler);

/* Each of these says when it is due (0: not at all), and is false after an error. */

/* Records the results. */
extern Moment settler_results_due(const Settler *settler);
extern bool	  settler_record(Settler *settler);

/* Writes down how integrations fare. */
extern Moment settler_health_due(const Settler *settler);
extern bool	  settler_save_health(Settler *settler);

/* Makes integrations inactive whose endpoint is gone. */
extern Moment settler_gone_due(const Settler *settler);
extern bool	  settler_deactivate(Settler *settler);

/* Cancels a batch of what is pending for an integration that is gone. */
extern Moment settler_closing_due(const Settler *settler);
extern bool	  settler_cancel(Settler *settler);

#endif /* FEATUL_SETTLER_H */
