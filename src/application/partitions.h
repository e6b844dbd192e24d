/*
 * partitions.h
 *		What stands below a bound table, and whose it is.
 */
#ifndef FEATUL_PARTITIONS_H
#define FEATUL_PARTITIONS_H

#include "nodes/pg_list.h"

/*
 * A foreign table among the partitions or children of this one, qualified; NULL: none.  Where
 * this one has triggers with transition tables, PostgreSQL refuses whatever would write to that
 * through it.
 */
extern char *partitions_foreign(Oid relid);

/*
 * Lets the owners of those of these tables (a list of OIDs) that are partitioned, and of what is
 * below them, add partitions; and nobody else.  Inside a query, as anybody.
 */
extern void partitions_open(const List *relids);

#endif /* FEATUL_PARTITIONS_H */
