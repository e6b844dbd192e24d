/*
 * moved_row.c
 *		Rows that logical replication deletes and inserts where the publisher updated
 *		them.
 *
 * The two come directly after one another.  Nothing has to be undone with a
 * subtransaction: a row can only be inserted if its deletion stands.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tupconvert.h"
#include "catalog/partition.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/moved_row.h"

typedef struct DeletedRow
{
	Oid		  relid;
	HeapTuple tuple; /* NULL: none */
} DeletedRow;

/* By source; in a context of the transaction, and NULL without one. */
static DeletedRow *deleted_rows = NULL;

/* Callback: the transaction's memory goes. */
static void
forget_all(void *unused)
{
	deleted_rows = NULL;
}

/* Makes room, once a transaction. */
static void
begin(void)
{
	MemoryContext		   context = TopTransactionContext;
	MemoryContextCallback *callback =
		MemoryContextAllocZero(context, sizeof(MemoryContextCallback));

	callback->func = forget_all;
	deleted_rows = MemoryContextAllocZero(context, SOURCE_COUNT * sizeof(DeletedRow));
	MemoryContextRegisterResetCallback(context, callback);
}

/* See moved_row.h. */
void
moved_row_deleted(Source source, Relation relation, TupleTableSlot *row)
{
	MemoryContext caller;
	DeletedRow	 *deleted;

	if (deleted_rows == NULL)
		begin();
	deleted = &deleted_rows[source];
	if (deleted->tuple)
		heap_freetuple(deleted->tuple);
	deleted->tuple = NULL;
	caller = MemoryContextSwitchTo(TopTransactionContext);
	deleted->relid = RelationGetRelid(relation);
	deleted->tuple = ExecCopySlotHeapTuple(row);
	MemoryContextSwitchTo(caller);
}

/* The topmost table of a partition: itself, once it is being detached. */
static Oid
root_of(Oid partition)
{
	List *ancestors = get_partition_ancestors(partition);

	return ancestors ? llast_oid(ancestors) : partition;
}

/* The row as this partition would have it, whose columns may stand in another order; else NULL. */
static HeapTuple
as_row_of(HeapTuple tuple, Oid relid, Relation relation)
{
	TupleConversionMap *map;
	Relation			from;

	if (relid == RelationGetRelid(relation))
		return tuple;
	from = try_relation_open(relid, AccessShareLock);
	if (from == NULL)
		return NULL;
	if (!from->rd_rel->relispartition || !relation->rd_rel->relispartition ||
		root_of(relid) != root_of(RelationGetRelid(relation)))
		tuple = NULL;
	else
	{
		map = convert_tuples_by_name(RelationGetDescr(from), RelationGetDescr(relation));
		if (map)
			tuple = execute_attr_map_tuple(tuple, map);
	}
	relation_close(from, AccessShareLock);
	return tuple;
}

/* See moved_row.h. */
TupleTableSlot *
moved_row_take(Source source, Relation relation)
{
	DeletedRow	   *deleted = deleted_rows ? &deleted_rows[source] : NULL;
	TupleTableSlot *slot = NULL;
	HeapTuple		tuple;

	if (deleted == NULL || deleted->tuple == NULL)
		return NULL;
	tuple = as_row_of(deleted->tuple, deleted->relid, relation);
	if (tuple)
	{
		slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsHeapTuple);
		ExecForceStoreHeapTuple(heap_copytuple(tuple), slot, false);
	}
	heap_freetuple(deleted->tuple);
	deleted->tuple = NULL;
	return slot;
}
