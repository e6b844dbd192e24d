/*
 * fetch.h
 *		Rows of a bound relation by id, straight through the index on its ids.
 *
 * For one row, starting a plan costs several times what the look-up does.
 */
#ifndef FEATUL_FETCH_H
#define FEATUL_FETCH_H

#include "application/row.h"

/*
 * Fetches the rows with these ids, by the active snapshot;
 * NULL where there is none.  as_text: some ids come from a column of another
 * type.  False if that needs a plan: there is no such index, or something about
 * the relation that only a plan does right.  Raises what the relation's
 * expressions raise.
 */
extern bool fetch_rows(BoundRelation *bound, const Text *ids, int count, bool as_text,
					   const Row **rows);

#endif /* FEATUL_FETCH_H */
