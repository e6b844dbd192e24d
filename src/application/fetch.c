/*
 * fetch.c
 *		Rows of a bound relation by id, straight through the index on its ids.
 *
 * As replication's apply worker finds its rows: an index scan without a plan.
 * Which index, and whether at all, binding.c found out when it compiled the
 * relation; creating or dropping an index invalidates that.
 *
 * Few rows are asked for again and again (a workspace's boards, the workspace), so
 * the place of each is kept in mind and looked at first, which saves half of the work;
 * and what was read there, if it is small, which saves half of the rest.  A rewrite of
 * the table (VACUUM FULL, CLUSTER) or a change of it compiles the relation anew, and so
 * forgets all of that; so does VACUUM that cuts off the table's end, but only a moment
 * after it has, hence the look whether the block is still there.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "application/fetch.h"

/* Places kept in mind for a relation: with their rows, 256 kB at most */
#define N_PLACES 256

/* A larger row is read again each time (bytes). */
#define KEPT_ROW_SIZE 1024

/* Where a row was last, and what it was. */
typedef struct Place
{
	ItemPointerData tid;  /* invalid: nothing */
	TransactionId	xmin; /* that wrote it: together they name one version of a row */
	Row			   *row;  /* NULL: not kept */
} Place;

/* Whether the relation, as it is known, has an index that does. */
static bool
fetch_possible(const BoundRelation *bound, bool as_text)
{
	return OidIsValid(bound->id_index.index) && !bound->unsafe_functions &&
		   (!TransactionIdIsValid(bound->id_index.xmin) ||
			TransactionIdPrecedes(bound->id_index.xmin, TransactionXmin)) &&
		   (!as_text || bound->id_index.key_type == TEXTOID);
}

/* The id in the type that the index compares with. */
static Datum
key_datum(Oid type, Text id)
{
	switch (type)
	{
		case UUIDOID:
			return DirectFunctionCall1(uuid_in,
									   CStringGetDatum(pnstrdup(id.data, id.length)));
		case INT8OID:
			return DirectFunctionCall1(int8in,
									   CStringGetDatum(pnstrdup(id.data, id.length)));
		default:
			return PointerGetDatum(cstring_to_text_with_len(id.data, id.length));
	}
}

/* Fetching from a relation that is locked, and known as it is now. */
typedef struct Fetch
{
	BoundRelation  *bound;
	Relation		relation;
	HeapTupleData	tuple; /* at the place looked at last */
	TupleTableSlot *slot;  /* NULL until a row is read, as is the reader */
	RowReader	   *reader;
	Relation		index; /* NULL until a row is looked for there */
	IndexScanDesc	scan;
} Fetch;

/* Where the row with this id is kept in mind, together with others. */
static Place *
known_place(BoundRelation *bound, Text id)
{
	uint32 hash = hash_bytes((const unsigned char *) id.data, id.length);

	if (bound->places == NULL)
		bound->places = MemoryContextAllocZero(bound->context, N_PLACES * sizeof(Place));
	return &bound->places[hash % N_PLACES];
}

/* The slot and the reader of its rows, made once. */
static TupleTableSlot *
slot_of(Fetch *fetch)
{
	if (fetch->slot == NULL)
	{
		fetch->slot = table_slot_create(fetch->relation, NULL);
		fetch->reader = row_reader(fetch->bound);
	}
	return fetch->slot;
}

/* Reads these columns of the row in the slot. */
static Row *
row_in_slot(Fetch *fetch, uint32 columns)
{
	return row_read(fetch->reader, fetch->slot, columns);
}

/* Reads the row in the slot, and keeps it in mind. */
static const Row *
read_and_keep(Fetch *fetch, Place *place)
{
	BoundRelation  *bound = fetch->bound;
	TupleTableSlot *slot = fetch->slot;
	Row			   *row = row_in_slot(fetch, ~(uint32) 0);

	if (place->row)
		pfree(place->row);
	place->row = NULL;
	place->tid = slot->tts_tid;
	place->xmin = HeapTupleHeaderGetRawXmin(((HeapTupleTableSlot *) slot)->tuple->t_data);
	if (!bound->mutable_functions && row_size(bound->source, row) <= KEPT_ROW_SIZE)
		place->row = row_copy(bound->source, row, bound->context);
	return row;
}

/*
 * Whether the relation has this block.  Whoever cuts off its end needs it locked against
 * us, and before it lets go of that has sent word of it, which makes every process ask
 * anew how many blocks there are; so what we know of that is what there is at least.
 */
static bool
has_block(Relation relation, BlockNumber block)
{
	BlockNumber known = RelationGetSmgr(relation)->smgr_cached_nblocks[MAIN_FORKNUM];

	return (known != InvalidBlockNumber && block < known) ||
		   block < RelationGetNumberOfBlocks(relation);
}

/* True if the snapshot sees a row version at this place; its buffer is pinned then. */
static bool
look_at(Fetch *fetch, const Place *place, Buffer *buffer)
{
	if (!ItemPointerIsValid(&place->tid) ||
		!has_block(fetch->relation, ItemPointerGetBlockNumber(&place->tid)))
		return false;
	fetch->tuple.t_self = place->tid;
	return heap_fetch(fetch->relation, GetActiveSnapshot(), &fetch->tuple, buffer, false);
}

/*
 * Reads the row from where a row of such an id was last.  If it has this id and
 * the snapshot sees it, it is the one: the index is unique, so the snapshot sees
 * one version of it at most.  NULL if that is not so; of another row nothing but
 * the id is read.
 */
static const Row *
fetch_from_place(Fetch *fetch, Place *place, Text id)
{
	Buffer buffer;

	if ((place->row && !text_equal(row_text(place->row, 0), id)) ||
		!look_at(fetch, place, &buffer))
		return NULL;
	if (place->row && place->xmin == HeapTupleHeaderGetRawXmin(fetch->tuple.t_data))
	{
		ReleaseBuffer(buffer);
		return row_copy(fetch->bound->source, place->row, CurrentMemoryContext);
	}
	ExecStorePinnedBufferHeapTuple(&fetch->tuple, slot_of(fetch), buffer);
	if (!text_equal(row_text(row_in_slot(fetch, COLUMN_BIT(0)), 0), id))
		return NULL;
	return read_and_keep(fetch, place);
}

/* Opens the index, once. */
static void
open_index(Fetch *fetch)
{
	if (fetch->index)
		return;
	fetch->index = index_open(fetch->bound->id_index.index, AccessShareLock);
	fetch->scan =
		compat_index_beginscan(fetch->relation, fetch->index, GetActiveSnapshot(), 1);
}

/* Finds the row through the index; NULL if there is none. */
static const Row *
fetch_by_index(Fetch *fetch, Place *place, Text id)
{
	const IdIndex *index = &fetch->bound->id_index;
	ScanKeyData	   key;

	open_index(fetch);
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, index->key_type,
						   index->collation, index->equal,
						   key_datum(index->key_type, id));
	index_rescan(fetch->scan, &key, 1, NULL, 0);
	if (!index_getnext_slot(fetch->scan, ForwardScanDirection, slot_of(fetch)))
		return NULL;
	return read_and_keep(fetch, place);
}

/* Fetches rows of a relation that is locked, and known as it is now. */
static void
fetch_from_relation(BoundRelation *bound, Relation relation, const Text *ids, int count,
					const Row **rows)
{
	Fetch fetch = { .bound = bound, .relation = relation };

	for (int i = 0; i < count; i++)
	{
		Place *place = known_place(bound, ids[i]);

		rows[i] = fetch_from_place(&fetch, place, ids[i]);
		if (rows[i] == NULL)
			rows[i] = fetch_by_index(&fetch, place, ids[i]);
	}
	if (fetch.slot)
		ExecDropSingleTupleTableSlot(fetch.slot);
	if (fetch.index)
	{
		index_endscan(fetch.scan);
		index_close(fetch.index, AccessShareLock);
	}
}

/*
 * Opens a relation by the shortest way; NULL if it has been dropped.  *lock is what it
 * needed: none where a foreign key has been checked against it in this transaction.
 */
static Relation
open_relation(Oid relid, LOCKMODE *lock)
{
	LOCKTAG	 tag;
	Relation relation;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	*lock = compat_lock_held(&tag, RowShareLock) ? NoLock : AccessShareLock;
	if (*lock != NoLock)
		LockRelationOid(relid, *lock);
	relation = RelationIdGetRelation(relid);
	if (relation == NULL && *lock != NoLock)
		UnlockRelationOid(relid, *lock);
	return relation;
}

/* See fetch.h. */
bool
fetch_rows(BoundRelation *bound, const Text *ids, int count, bool as_text,
		   const Row **rows)
{
	Relation relation;
	LOCKMODE lock;
	bool	 possible;

	if (!fetch_possible(bound, as_text))
		return false;

	/* what changed before we had the lock is known now: the index may be another */
	relation = open_relation(bound->relid, &lock);
	if (!bound->valid)
		bound = binding_of(bound->source, bound->relid);
	possible = relation != NULL && bound != NULL && fetch_possible(bound, as_text);
	if (possible)
		fetch_from_relation(bound, relation, ids, count, rows);
	if (relation)
		relation_close(relation, lock);
	return possible;
}
