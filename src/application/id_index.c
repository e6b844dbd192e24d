/*
 * id_index.c
 *		Which index finds a row of a relation by its id.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "application/id_index.h"

/* The type that ids are compared in; InvalidOid where only text would do. */
static Oid
id_key_type(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
			return TEXTOID;
		case UUIDOID:
			return UUIDOID;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return INT8OID;
		default:
			return InvalidOid;
	}
}

/* True if this index serves; then *result says how. */
static bool
check_id_index(AttrNumber id, Oid type, Relation index, IdIndex *result)
{
	Form_pg_index form = index->rd_index;
	Oid			  operator;

	if (index->rd_rel->relam != BTREE_AM_OID || form->indnkeyatts != 1 ||
		!form->indisunique || !form->indisvalid || !form->indimmediate ||
		form->indkey.values[0] != id ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;
	result->key_type = id_key_type(type);
	result->collation = index->rd_indcollation[0];
	operator= OidIsValid(result->key_type)
		? get_opfamily_member(index->rd_opfamily[0], index->rd_opcintype[0],
							  result->key_type, BTEqualStrategyNumber)
		: InvalidOid;
	if (!OidIsValid(operator) || operator>=
		FirstNormalObjectId ||(OidIsValid(result->collation) &&
							   !get_collation_isdeterministic(result->collation)))
		return false;
	result->equal = get_opcode(operator);
	result->index = RelationGetRelid(index);
	/* made over broken HOT chains: as in the planner's get_relation_info() */
	result->xmin = form->indcheckxmin
					   ? HeapTupleHeaderGetXmin(index->rd_indextuple->t_data)
					   : InvalidTransactionId;
	return true;
}

/* See id_index.h. */
IdIndex
id_index_find(Relation relation, AttrNumber id, Oid type)
{
	IdIndex	  result;
	ListCell *cell;

	if (id <= 0 || relation->rd_rel->relkind != RELKIND_RELATION ||
		relation->rd_rel->relhassubclass || relation->rd_rel->relam != HEAP_TABLE_AM_OID)
		return (IdIndex){ 0 };
	foreach (cell, RelationGetIndexList(relation))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		bool	 found = check_id_index(id, type, index, &result);

		index_close(index, AccessShareLock);
		if (found)
			return result;
	}
	return (IdIndex){ 0 };
}
