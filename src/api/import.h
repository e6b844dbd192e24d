/*
 * import.h
 *		Taking over a row of the application's older table of integrations.
 */
#ifndef FEATUL_IMPORT_H
#define FEATUL_IMPORT_H

#include "utils/array.h"

/* A row of the older table. */
typedef struct OldIntegration
{
	char *workspace_id;
	char *type;
	char *webhook_url;
	bool  is_active;
} OldIntegration;

/*
 * Takes over one with these events (a text[]; NULL: all), unless its like was taken
 * over before or is connected; with follow, one that was taken over before is brought
 * up to date.  Returns NULL, or why it was refused.  Inside query_begin().
 */
extern char *import_take_over(const OldIntegration *old, ArrayType *events, bool follow);

/*
 * Makes the integration what this row says, filters that it has staying; one that is
 * new gets these events.  Returns as above.
 */
extern char *import_update(const OldIntegration *old, ArrayType *events);

/* Disconnects what was taken over from this row. */
extern void import_remove(const OldIntegration *old);

#endif /* FEATUL_IMPORT_H */
