/*
 * rows.h
 *		Rows of a source whose binding calls functions that are not PostgreSQL's
 *		own: the table is read as its owner, the functions are called as the
 *		extension's role.
 */
#ifndef FEATUL_ROWS_H
#define FEATUL_ROWS_H

#include "application/row.h"

/* Takes one row, which lives as long as the memory context of the scan's caller. */
typedef void (*RowConsumer)(void *argument, Row *row);

/*
 * Hands each row over whose canonical text column is one of these (text[]), or every
 * row (column < 0).  Needs the extension's rights, an SPI connection and safe
 * settings; raises what the expressions raise.
 */
extern void rows_scan(BoundRelation *bound, int column, Datum texts, RowConsumer consumer,
					  void *argument);

#endif /* FEATUL_ROWS_H */
