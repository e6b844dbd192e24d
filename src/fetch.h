/*
 * fetch.h
 *		Rows of a bound relation by id, straight through the index on its ids.
 *
 * For one row, starting a plan costs several times what the look-up does.
 */
#ifndef FEATUL_FETCH_H
#define FEATUL_FETCH_H

#include "row.h"

/*
 * Whether there is such an index, and nothing about the relation that only a
 * plan would do right.  as_text: some ids come from a column of another type.
 */
extern bool fetch_possible(const BoundRelation *bound, bool as_text);

/*
 * The rows with these ids, by the present state of the transaction; NULL where
 * there is none.  Raises what the relation's expressions raise.
 */
extern void fetch_rows(BoundRelation *bound, const Text *ids, int count, uint32 columns,
					   const Row **rows);

#endif /* FEATUL_FETCH_H */
