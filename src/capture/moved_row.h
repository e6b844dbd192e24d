/*
 * moved_row.h
 *		Rows that logical replication deletes and inserts where the publisher updated
 *		them: a row that goes to another partition.
 */
#ifndef FEATUL_MOVED_ROW_H
#define FEATUL_MOVED_ROW_H

#include "capture/transition.h"

/* Keeps the row that was deleted last, until the transaction's end. */
extern void moved_row_deleted(Source source, Relation relation, TupleTableSlot *row);

/*
 * The row of this source that was deleted last, if it was the last thing that
 * happened to the source, in the form of this relation; NULL: none.  From then on
 * it is forgotten.
 */
extern TupleTableSlot *moved_row_take(Source source, Relation relation);

#endif /* FEATUL_MOVED_ROW_H */
