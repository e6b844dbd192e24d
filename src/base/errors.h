/*
 * errors.h
 *		The SQLSTATEs of the SQL API, which PostgREST turns into HTTP statuses
 *		(docs/application.md); and which of PostgreSQL's may be swallowed.
 */
#ifndef FEATUL_ERRORS_H
#define FEATUL_ERRORS_H

#define ERRCODE_FEATUL_BAD_ARGUMENT MAKE_SQLSTATE('P', 'T', '4', '0', '0')
#define ERRCODE_FEATUL_UNAUTHENTICATED MAKE_SQLSTATE('P', 'T', '4', '0', '1')
#define ERRCODE_FEATUL_FORBIDDEN MAKE_SQLSTATE('P', 'T', '4', '0', '3')
#define ERRCODE_FEATUL_NOT_FOUND MAKE_SQLSTATE('P', 'T', '4', '0', '4')
#define ERRCODE_FEATUL_DELIVERY_FAILED MAKE_SQLSTATE('P', 'T', '5', '0', '0')

/*
 * True for errors that an application's data, or a change of its tables, can cause,
 * a binding's functions included.  All others (cancelled, out of memory, locks, disk,
 * serialization, corruption, what nobody has thought of) are not to be swallowed: the
 * change would commit without its event.
 */
extern bool error_is_fault_of_data(const ErrorData *error);

#endif /* FEATUL_ERRORS_H */
