/*
 * errors.h
 *		The SQLSTATEs of the SQL API, which PostgREST turns into HTTP statuses
 *		(docs/application.md).
 */
#ifndef FEATUL_ERRORS_H
#define FEATUL_ERRORS_H

#define ERRCODE_FEATUL_BAD_ARGUMENT MAKE_SQLSTATE('P', 'T', '4', '0', '0')
#define ERRCODE_FEATUL_UNAUTHENTICATED MAKE_SQLSTATE('P', 'T', '4', '0', '1')
#define ERRCODE_FEATUL_FORBIDDEN MAKE_SQLSTATE('P', 'T', '4', '0', '3')
#define ERRCODE_FEATUL_NOT_FOUND MAKE_SQLSTATE('P', 'T', '4', '0', '4')
#define ERRCODE_FEATUL_DELIVERY_FAILED MAKE_SQLSTATE('P', 'T', '5', '0', '0')

#endif /* FEATUL_ERRORS_H */
