/*
 * own_table.h
 *		Many new rows for one of the extension's own tables, without a plan.
 */
#ifndef FEATUL_OWN_TABLE_H
#define FEATUL_OWN_TABLE_H

#include "executor/tuptable.h"

/*
 * SQL over an integration i and its health h, which may be missing, never NULL: is it
 * of the database with this oid, not one that was restored or copied; and is it
 * active here?  Views of the install script ask the same.
 */
#define OWN_TABLE_HERE(database) "(h.database IS NOT DISTINCT FROM " database ")"
#define OWN_TABLE_ACTIVE_HERE(database) "(i.is_active AND " OWN_TABLE_HERE(database) ")"

typedef struct Appender Appender;

/*
 * The partition of event and attempt that is written now, as the table rotation
 * says, whose oid is given.
 */
extern int16 own_table_current_partition(Oid rotation);

/* The OID of the extension's table of that name. */
extern Oid own_table_oid(const char *name);

/*
 * Opens a table; all of it is in the current memory context.  Needs a
 * transaction, and no rights.  What will be filled in are its first so many
 * columns: where the library is ahead of the SQL objects there may be fewer, and
 * that is an error (version.h); where it is behind, more, which stay NULL.
 */
extern Appender *appender_open(Oid relid, int columns);

/*
 * The next row, all of it NULL, for the caller to fill in; what its values point
 * to must live until appender_flush() or appender_close().
 */
extern TupleTableSlot *appender_next(Appender *appender);

/*
 * Writes what is not written yet, for several tables: first all rows, then all
 * index entries, so that the processor goes through the code for each once.
 */
extern void appender_flush(Appender *const *appenders, int count);

/* Likewise, and closes the table. */
extern void appender_close(Appender *appender);

#endif /* FEATUL_OWN_TABLE_H */
