/*
 * append.h
 *		Many new rows for one of the extension's own tables, without a plan.
 */
#ifndef FEATUL_APPEND_H
#define FEATUL_APPEND_H

#include "executor/tuptable.h"

typedef struct Appender Appender;

/* The partition of event and attempt that is written now (table rotation). */
extern int16 append_current_slot(void);

/*
 * Opens the table of that name, in the current memory context, which must be
 * current until append_close() too.  Needs a transaction, and no rights.
 */
extern Appender *append_open(const char *name);

/* The next row, all of it NULL, for the caller to fill in. */
extern TupleTableSlot *append_row(Appender *appender);

/* Writes what is not written yet. */
extern void append_close(Appender *appender);

#endif /* FEATUL_APPEND_H */
