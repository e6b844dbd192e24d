/*
 * recovery.h
 *		Errors in the worker: a step that fails is tried again, with growing pauses.
 */
#ifndef FEATUL_RECOVERY_H
#define FEATUL_RECOVERY_H

#include "utils/elog.h"
#include "utils/palloc.h"

#include "base/clock.h"
#include "base/compat.h"
#include "process/slots.h"

typedef struct Recovery
{
	MemoryContext context;	  /* current between steps, and reset now and then */
	int			  pause_ms;	  /* the latest pause; 0: the latest turn went well */
	Moment		  not_before; /* nothing that needs the database is tried until then */
	bool
		about_data; /* the latest error may be about one row, and does not pass as a lock does */
	int	   logged_code;
	Moment logged_at;
} Recovery;

/* Ends this process; the launcher knows what to make of the outcome. */
pg_noreturn extern void recovery_leave(WorkerOutcome outcome);

/* Likewise unless the extension is (still) there; never raises an error. */
extern void recovery_check_extension(const Recovery *recovery);

/*
 * Runs a step that needs the database; false if it failed.  What fails once the
 * step's transaction has ended has left half a state in memory: that error is
 * passed on, for the worker to start over.
 */
extern bool recovery_run(Recovery *recovery, void (*step)(void *), void *argument);

/*
 * After an error: ends the transaction, reports the error (once, if it
 * repeats) and sets a pause.  To be called in PG_CATCH.
 */
extern void recovery_after_error(Recovery *recovery);

/*
 * Likewise for an error that somebody else answers for: ends the transaction and
 * returns the error, copied to a context, which is current then.
 */
extern ErrorData *recovery_take_error(MemoryContext context);

#endif /* FEATUL_RECOVERY_H */
