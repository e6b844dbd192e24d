/*
 * own_table.h
 *		Many new rows for one of the extension's own tables, without a plan.
 */
#ifndef FEATUL_APPEND_H
#define FEATUL_APPEND_H

#include "executor/tuptable.h"

/* The partitions of event and of attempt, numbered from 0 (install script). */
#define OWN_TABLE_PARTITIONS 10

/*
 * SQL: true of an integration i with its health h if it is active, and of the
 * database with this oid: not one that was restored or copied.
 */
#define OWN_TABLE_ACTIVE_HERE(database) "(i.is_active AND h.database = " database ")"

typedef struct Appender Appender;

/*
 * The partition of event and attempt that is written now, as the table rotation
 * says, whose oid is given.
 */
extern int16 append_current_slot(Oid rotation);

/* The OID of the extension's table of that name. */
extern Oid append_relation(const char *name);

/*
 * Opens a table; all of it is in the current memory context.  Needs a
 * transaction, and no rights.
 */
extern Appender *append_open(Oid relid);

/*
 * The next row, all of it NULL, for the caller to fill in; what its values point
 * to must live until append_flush() or append_close().
 */
extern TupleTableSlot *append_row(Appender *appender);

/*
 * Writes what is not written yet, for several tables: first all rows, then all
 * index entries, so that the processor goes through the code for each once.
 */
extern void append_flush(Appender *const *appenders, int count);

/* Likewise, and closes the table. */
extern void append_close(Appender *appender);

#endif /* FEATUL_APPEND_H */
