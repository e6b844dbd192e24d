/*
 * outcome.h
 *		What an answer means: for the delivery, for those that went out with it,
 *		and for their lane.  The only author of settlements.
 */
#ifndef FEATUL_OUTCOME_H
#define FEATUL_OUTCOME_H

#include "delivery/dispatch.h"
#include "delivery/table_attempt.h"

/* An attempt: one request and what came of it. */
typedef struct Attempt
{
	Verdict		verdict;	 /* what its channel made of it */
	int			http_status; /* 0: none */
	int			duration_ms; /* -1: none */
	const char *response;	 /* or NULL */
} Attempt;

/* Whose channel judges what came of it. */
extern const Channel *outcome_channel(const Delivery *delivery);

/* How many deliveries its request stands for. */
extern int outcome_count(const Delivery *delivery);

/*
 * What came of a delivery that was in flight: its consequences, and the
 * settlements, outcome_count() of them, for which there is room; their texts are
 * the attempt's and the lane's.
 */
extern void outcome_of_attempt(Delivery *delivery, const Attempt *attempt,
							   Settlement **settlements);

/* It cannot even be tried: failed, at once; those merged with it wait again. */
extern void outcome_unsendable(Delivery *delivery, const char *error,
							   Settlement *settlement);

/* The settlement is recorded. */
extern void outcome_settled(const Settlement *settlement);

#endif /* FEATUL_OUTCOME_H */
