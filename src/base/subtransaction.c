/*
 * subtransaction.c
 *		A step that may fail without ending the transaction.
 *
 * An error that is raised again while one's own subtransaction is open is caught
 * by whoever has begun another around it (a PL/pgSQL block with EXCEPTION), who
 * then ends ours in place of its own and goes on with our rights and settings.
 * So no caller sees an error of a step before the subtransaction is gone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/errors.h"
#include "base/subtransaction.h"

/* See subtransaction.h. */
ErrorData *
subtransaction_run(SubtransactionStep step, void *argument)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		step(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (error && !error_is_fault_of_data(error))
		ReThrowError(error);
	return error;
}
