/*
 * settler.h
 *		Results: judged, kept, and recorded in batches; health; the end of
 *		integrations.
 */
#ifndef FEATUL_SETTLER_H
#define FEATUL_SETTLER_H

#include "delivery/dispatch.h"
#include "delivery/recovery.h"

typedef struct Settler
{
	Recovery	 *recovery;
	Dispatch	 *dispatch;
	HttpClient	 *http;
	MemoryContext context;	 /* of what is unsettled and what it points to */
	List		 *unsettled; /* of Settlement *, to be recorded, oldest first */
	TimestampTz	  since;	 /* when the oldest came in */
	int			  failures;	 /* of recording, in a row */
} Settler;

/* Once; its contexts are for good. */
extern void settler_init(Settler *settler, Recovery *recovery);

/* Begins anew with nothing to record. */
extern void settler_reset(Settler *settler, Dispatch *dispatch, HttpClient *http);

/* Judges all that has arrived. */
extern void settler_take_results(Settler *settler);

/* Settles a delivery that cannot even be sent; the error is copied. */
extern void settler_fail(Settler *settler, Delivery *delivery, const char *error);

/* True if so much is unsettled that nothing new must be started. */
extern bool settler_full(const Settler *settler);

/*
 * True if results should be recorded now: in any case before the rest of an
 * integration's deliveries is cancelled, or these would be taken for pending.
 */
extern bool settler_due(const Settler *settler, TimestampTz now);

/* When they should be in any case; 0: nothing is to be recorded. */
extern TimestampTz settler_due_at(const Settler *settler);

/* Records the results; false if some are left. */
extern bool settler_record(Settler *settler);

/* Writes down how integrations fare; false after an error. */
extern bool settler_save_health(Settler *settler);

/* Makes integrations inactive whose endpoint is gone; false after an error. */
extern bool settler_deactivate(Settler *settler);

/*
 * Cancels a batch of what is pending for an integration that is gone; false after
 * an error.  Sets *cancelled if there was one.
 */
extern bool settler_cancel(Settler *settler, bool *cancelled);

#endif /* FEATUL_SETTLER_H */
