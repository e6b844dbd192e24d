/*
 * table_rotation.h
 *		Rotation of the append-only tables event and attempt.
 */
#ifndef FEATUL_TABLE_ROTATION_H
#define FEATUL_TABLE_ROTATION_H

#include "utils/timestamp.h"

/*
 * Rotates the append-only tables if it is time.  Returns when to call it
 * again; 0 while they are empty.  Between table_begin() and table_commit().
 */
extern TimestampTz rotation_advance(void);

#endif /* FEATUL_TABLE_ROTATION_H */
