/*
 * subtransaction.h
 *		A step that may fail without ending the transaction: the one place that
 *		begins a subtransaction.
 */
#ifndef FEATUL_SUBTRANSACTION_H
#define FEATUL_SUBTRANSACTION_H

typedef void (*SubtransactionStep)(void *argument);

/*
 * Runs a step in a subtransaction, with the caller's memory context and resource
 * owner.  NULL if it succeeded; else the fault of the data that it failed at,
 * palloc'd, and nothing of the step remains but what it left in *argument.  Any
 * other error is raised again once the subtransaction has ended
 * (error_is_fault_of_data()).
 */
extern ErrorData *subtransaction_run(SubtransactionStep step, void *argument);

#endif /* FEATUL_SUBTRANSACTION_H */
