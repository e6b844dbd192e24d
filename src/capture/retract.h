/*
 * retract.h
 *		Taking back what has been told of rows that, once the outermost statement is at its
 *		end, nobody could ever see.  All need the extension's rights.
 */
#ifndef FEATUL_RETRACT_H
#define FEATUL_RETRACT_H

#include "application/source.h"
#include "base/text.h"
#include "capture/nesting.h"

/*
 * Takes back what was told inside of the outermost statement about posts, or comments, with
 * these ids.
 */
extern void retract_all(Source source, const Text *ids, int count);

/*
 * Likewise, but only about those whose first visibility was told there.  Brings their ids to
 * the front; how many they are.
 */
extern int retract_announced(Source source, Text *ids, int count);

/*
 * Takes back the first visibility of rows that this statement has hidden, and that were visible
 * before: something inside of it showed them again, and could not know.
 */
extern void retract_first(Nesting nesting, Source source, const Text *ids, int count);

#endif /* FEATUL_RETRACT_H */
