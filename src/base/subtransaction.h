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
 * owner.  NULL if it succeeded; else the error, palloc'd, and nothing of the
 * step remains but what it left in *argument.  Either way the subtransaction
 * has ended when this returns, so a caller may raise the error again
 * (ReThrowError()); raises nothing by itself.
 */
extern ErrorData *subtransaction_run(SubtransactionStep step, void *argument);

#endif /* FEATUL_SUBTRANSACTION_H */
