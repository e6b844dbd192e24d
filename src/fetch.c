/*
 * fetch.c
 *		Rows of a bound relation by id, straight through the index on its ids.
 *
 * As replication's apply worker finds its rows: an index scan without a plan.
 * Which index, and whether at all, binding.c found out when it compiled the
 * relation; creating or dropping an index invalidates that.
 *
 * Few rows are asked for again and again (a workspace's boards, the workspace),
 * so the place of each is kept in mind and looked at first, which saves half of
 * the work.  A rewrite of the table (VACUUM FULL, CLUSTER) compiles the relation
 * anew, and so forgets the places; so does VACUUM that cuts off the table's end, but
 * only a moment after it has, hence the look at its length.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "fetch.h"

/* Places kept in mind for a relation */
#define N_PLACES 256

/* Whether the relation, as it is known, has an index that does. */
static bool
fetch_possible(const BoundRelation *bound, bool as_text)
{
	return OidIsValid(bound->id_index.index) && !bound->unsafe_functions &&
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
	BlockNumber		blocks; /* that it has */
	TupleTableSlot *slot;
	RowReader	   *reader;
	Relation		index; /* NULL until a row is looked for there */
	IndexScanDesc	scan;
} Fetch;

/* Where the row with this id is kept in mind, together with others. */
static ItemPointer
known_place(BoundRelation *bound, Text id)
{
	uint32 hash = hash_bytes((const unsigned char *) id.data, id.length);

	if (bound->places == NULL)
		bound->places =
			MemoryContextAllocZero(bound->context, N_PLACES * sizeof(ItemPointerData));
	return &bound->places[hash % N_PLACES];
}

/*
 * Reads the row from where a row of such an id was last.  If it has this id and
 * the snapshot sees it, it is the one: the index is unique, so the snapshot sees
 * one version of it at most.  NULL if that is not so; of another row nothing but
 * the id is read.
 */
static const Row *
fetch_from_place(Fetch *fetch, ItemPointer place, Text id, uint32 columns)
{
	if (!ItemPointerIsValid(place) || ItemPointerGetBlockNumber(place) >= fetch->blocks ||
		!table_tuple_fetch_row_version(fetch->relation, place, GetActiveSnapshot(),
									   fetch->slot) ||
		!text_equal(row_text(row_read(fetch->reader, fetch->slot, COLUMN_BIT(0)), 0), id))
		return NULL;
	return row_read(fetch->reader, fetch->slot, columns);
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
fetch_by_index(Fetch *fetch, ItemPointer place, Text id, uint32 columns)
{
	const IdIndex *index = &fetch->bound->id_index;
	ScanKeyData	   key;

	open_index(fetch);
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, index->key_type,
						   index->collation, index->equal,
						   key_datum(index->key_type, id));
	index_rescan(fetch->scan, &key, 1, NULL, 0);
	if (!index_getnext_slot(fetch->scan, ForwardScanDirection, fetch->slot))
		return NULL;
	*place = fetch->slot->tts_tid;
	return row_read(fetch->reader, fetch->slot, columns);
}

/* Fetches rows of a relation that is locked, and known as it is now. */
static void
fetch_from_relation(BoundRelation *bound, Relation relation, const Text *ids, int count,
					uint32 columns, const Row **rows)
{
	Fetch fetch = {
		.bound = bound,
		.relation = relation,
		.blocks = RelationGetNumberOfBlocks(relation),
		.slot = table_slot_create(relation, NULL),
		.reader = row_reader(bound),
	};

	for (int i = 0; i < count; i++)
	{
		ItemPointer place = known_place(bound, ids[i]);

		rows[i] = fetch_from_place(&fetch, place, ids[i], columns);
		if (rows[i] == NULL)
			rows[i] = fetch_by_index(&fetch, place, ids[i], columns);
	}
	ExecDropSingleTupleTableSlot(fetch.slot);
	if (fetch.index)
	{
		index_endscan(fetch.scan);
		index_close(fetch.index, AccessShareLock);
	}
}

/*
 * The lock that a relation needs to be read: none where a foreign key has been
 * checked against it in this transaction.
 */
static LOCKMODE
needed_lock(Oid relid)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	return compat_lock_held(&tag, RowShareLock) ? NoLock : AccessShareLock;
}

/* See fetch.h. */
bool
fetch_rows(BoundRelation *bound, const Text *ids, int count, bool as_text, uint32 columns,
		   const Row **rows)
{
	Relation relation;
	LOCKMODE lock;
	bool	 possible;

	if (!fetch_possible(bound, as_text))
		return false;

	/* what changed before we had the lock is known now: the index may be another */
	lock = needed_lock(bound->relid);
	relation = try_table_open(bound->relid, lock);
	if (!bound->valid)
		bound = binding_of(bound->source, bound->relid);
	possible = relation != NULL && bound != NULL && fetch_possible(bound, as_text);
	if (possible)
		fetch_from_relation(bound, relation, ids, count, columns, rows);
	if (relation)
		table_close(relation, lock);
	return possible;
}
