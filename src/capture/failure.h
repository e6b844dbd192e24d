/*
 * failure.h
 *		Failing without breaking the application's statement: which errors may be
 *		swallowed, and how they are made known.
 */
#ifndef FEATUL_FAILURE_H
#define FEATUL_FAILURE_H

#include "application/source.h"

/*
 * Raises an error that subtransaction_run() has returned again, unless it is about
 * data or tables: the user, the administrator or the transaction's isolation ends
 * the statement.
 */
extern void failure_raise_unless_data(ErrorData *error);

/* Counts an error, and warns of it once a session. */
extern void failure_report(Source source, const ErrorData *error);

#endif /* FEATUL_FAILURE_H */
