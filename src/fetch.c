/*
 * fetch.c
 *		Rows of a bound relation by id, straight through the index on its ids.
 *
 * As replication's apply worker finds its rows: an index scan without a plan.
 * Which index, and whether at all, binding.c found out when it compiled the
 * relation; creating or dropping an index invalidates that.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "fetch.h"

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

/* One row; NULL if there is none. */
static const Row *
fetch_row(IndexScanDesc scan, RowReader *reader, TupleTableSlot *slot, Text id,
		  uint32 columns)
{
	const BoundRelation *bound = reader->relation;
	ScanKeyData			 key;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, bound->id_index.key_type,
						   bound->id_index.collation, bound->id_index.equal,
						   key_datum(bound->id_index.key_type, id));
	index_rescan(scan, &key, 1, NULL, 0);
	return index_getnext_slot(scan, ForwardScanDirection, slot)
			   ? row_read(reader, slot, columns)
			   : NULL;
}

/* Fetches from a relation that is locked, and known as it is now. */
static void
scan_index(BoundRelation *bound, Relation relation, const Text *ids, int count,
		   uint32 columns, const Row **rows)
{
	RowReader	   *reader = row_reader(bound);
	Relation		index = index_open(bound->id_index.index, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	IndexScanDesc	scan;

	scan = compat_index_beginscan(relation, index, GetActiveSnapshot(), 1);
	for (int i = 0; i < count; i++)
		rows[i] = fetch_row(scan, reader, slot, ids[i], columns);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
}

/* See fetch.h. */
bool
fetch_rows(BoundRelation *bound, const Text *ids, int count, bool as_text, uint32 columns,
		   const Row **rows)
{
	Relation relation;
	bool	 possible;

	if (!fetch_possible(bound, as_text))
		return false;

	/* what changed before we had the lock is known now: the index may be another */
	relation = try_table_open(bound->relid, AccessShareLock);
	if (!bound->valid)
		bound = binding_of(bound->source, bound->relid);
	possible = relation != NULL && bound != NULL && fetch_possible(bound, as_text);
	if (possible)
		scan_index(bound, relation, ids, count, columns, rows);
	if (relation)
		table_close(relation, AccessShareLock);
	return possible;
}
