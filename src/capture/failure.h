/*
 * failure.h
 *		Failing without breaking the application's statement: how a fault of the
 *		data is made known.
 */
#ifndef FEATUL_FAILURE_H
#define FEATUL_FAILURE_H

#include "application/source.h"

/* Counts an error, and warns of it once a session. */
extern void failure_report(Source source, const ErrorData *error);

#endif /* FEATUL_FAILURE_H */
