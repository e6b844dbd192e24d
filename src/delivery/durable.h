/*
 * durable.h
 *		Nothing is told that a crash can take back: what is read is flushed first.
 *
 * With synchronous_commit = off a transaction is visible before its commit
 * record is on disk.  Whoever reads the queue notes each row's transaction, and
 * flushes what was noted before anything of it is sent.
 */
#ifndef FEATUL_DURABLE_H
#define FEATUL_DURABLE_H

#include "access/xlogdefs.h"

/* What was noted; all zero to begin with. */
typedef struct DurableNotes
{
	uint64	   last_xid; /* the one noted last */
	XLogRecPtr end;		 /* of the last commit record that may not be flushed */
} DurableNotes;

/* Notes that rows of this committed transaction were read. */
extern void durable_note(DurableNotes *notes, uint64 xid);

/*
 * Returns when all that was noted is flushed: at once where it is already, as it
 * is with synchronous_commit = on.  Begins anew.
 */
extern void durable_flush(DurableNotes *notes);

#endif /* FEATUL_DURABLE_H */
