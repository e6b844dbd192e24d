/*
 * follow.h
 *		Following the application's older table of integrations.
 */
#ifndef FEATUL_FOLLOW_H
#define FEATUL_FOLLOW_H

#include "utils/array.h"

/*
 * From now on changes of this table are made here too; what is new there gets these
 * events (a text[]; NULL: all).  For the table's owner.  Inside query_begin().
 */
extern void follow_table(Oid table, ArrayType *events);

#endif /* FEATUL_FOLLOW_H */
