/*
 * errors.c
 *		Which errors are faults of the data.
 */
#include "postgres.h"

#include "base/errors.h"

/*
 * True for what palloc() says of a value longer than any can be (mcxt.c): what an expression makes
 * of long texts may be.  An internal error by its code, and it would come again each time.
 */
static bool
is_too_large(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_INTERNAL_ERROR && error->message_id &&
		   strncmp(error->message_id, "invalid memory alloc request size",
				   strlen("invalid memory alloc request size")) == 0;
}

/* See errors.h.  Classes and codes are those of PostgreSQL's errcodes.txt. */
bool
error_is_fault_of_data(const ErrorData *error)
{
	int sqlstate = error->sqlerrcode;

	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_FEATURE_NOT_SUPPORTED:			 /* 0A: an expression, a type */
		case ERRCODE_CASE_NOT_FOUND:				 /* 20 */
		case ERRCODE_CARDINALITY_VIOLATION:			 /* 21 */
		case ERRCODE_DATA_EXCEPTION:				 /* 22 */
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION: /* 23: a domain's CHECK */
		case ERRCODE_SQL_ROUTINE_EXCEPTION:			 /* 2F: a function of a binding */
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:	 /* 38 */
		case ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION: /* 39 */
		case ERRCODE_INVALID_SCHEMA_NAME: /* 3F: a table that has changed */
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION: /* 42: likewise */
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:			/* 44 */
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED: /* 54: too long, nested too deep */
		case ERRCODE_PLPGSQL_ERROR:			 /* P0: RAISE */
			return true;
	}
	return sqlstate ==
			   ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE || /* a binding that is broken */
		   sqlstate == ERRCODE_UNSAFE_NEW_ENUM_VALUE_USAGE ||
		   is_too_large(error);
}
