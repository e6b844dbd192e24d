/*
 * id_index.h
 *		Which index finds a row of a relation by its id.
 */
#ifndef FEATUL_ID_INDEX_H
#define FEATUL_ID_INDEX_H

#include "utils/relcache.h"

/* An index over a relation's ids alone, and how to compare with it. */
typedef struct IdIndex
{
	Oid			  index;	/* InvalidOid: none */
	Oid			  key_type; /* text, uuid or bigint */
	Oid			  equal;	/* function */
	Oid			  collation;
	TransactionId xmin; /* older snapshots must not use it; 0: all may */
} IdIndex;

/*
 * An index over the ids alone, which are this attribute of this base type, in a plain
 * table (a heap) without children that is open and locked; else none.
 */
extern IdIndex id_index_find(Relation relation, AttrNumber id, Oid type);

#endif /* FEATUL_ID_INDEX_H */
