/*
 * event_payload.h
 *		What an event says.
 */
#ifndef FEATUL_EVENT_PAYLOAD_H
#define FEATUL_EVENT_PAYLOAD_H

#include "capture/candidate.h"

/* The payload of a candidate with everything around it; palloc'd, and a NUL after it. */
extern text *event_payload(const Candidates *candidates, const Candidate *candidate,
						   Source source);

/*
 * What chat messages show beyond the payload: {"statusName", "fromName", "toName"},
 * those that are known; NULL if none is.
 */
extern char *event_labels(Candidates *candidates, const Candidate *candidate);

#endif /* FEATUL_EVENT_PAYLOAD_H */
