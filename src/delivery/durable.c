/*
 * durable.c
 *		Nothing is told that a crash can take back.
 *
 * For a transaction that committed without waiting for its flush, PostgreSQL
 * keeps with the commit log how far the WAL must be flushed (for each group of 32
 * transactions, until the page has been written; see clog.c).  It is what keeps
 * hint bits from reaching the disk before the commit record, and it is just
 * what is asked for here: it needs no help of the committing side, so it holds
 * for whatever writes to the queue, and nobody else's WAL is waited for.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "storage/lwlock.h"

#include "base/compat.h"
#include "delivery/durable.h"

/*
 * The 32-bit id of a transaction that the commit log still has; Invalid for an
 * older one, which has long been flushed.  The caller holds XactTruncationLock.
 */
static TransactionId
recent_transaction(uint64 xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId	  short_xid = XidFromFullTransactionId(FullTransactionIdFromU64(xid));

	if (U64FromFullTransactionId(next) - xid > PG_INT32_MAX ||
		TransactionIdPrecedes(short_xid, compat_oldest_clog_xid()))
		return InvalidTransactionId;
	return short_xid;
}

/* See durable.h. */
void
durable_note(DurableNotes *notes, uint64 xid)
{
	TransactionId recent;

	if (xid == notes->last_xid)
		return;
	notes->last_xid = xid;
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	recent = recent_transaction(xid);
	if (TransactionIdIsNormal(recent))
		notes->end = Max(notes->end, TransactionIdGetCommitLSN(recent));
	LWLockRelease(XactTruncationLock);
}

/* See durable.h. */
void
durable_flush(DurableNotes *notes)
{
	if (!XLogRecPtrIsInvalid(notes->end))
		XLogFlush(notes->end);
	*notes = (DurableNotes){ 0 };
}
