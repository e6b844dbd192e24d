/*
 * lookup.h
 *		Rows of the application's tables by id, many at a time.
 *
 * First all ids are noted, then one query for each source fetches the rows;
 * what was found is kept for as long as the memory context that lookups_create()
 * was called in.
 */
#ifndef FEATUL_LOOKUP_H
#define FEATUL_LOOKUP_H

#include "application/row.h"
#include "application/user_context.h"

typedef struct Lookups Lookups;

extern Lookups *lookups_create(void);

/*
 * Notes an id (NULL is ignored) of which the row will be needed.  It comes from a
 * column of this base type (InvalidOid: unknown): where that is the type of
 * the ids of the source too, the application's index can be used.
 */
extern void lookups_want(Lookups *lookups, Source source, Text id, Oid type);

/*
 * Fetches what is wanted and not yet known.  Needs the extension's rights, and an
 * active snapshot that sees the rows.
 */
extern void lookups_fetch(Lookups *lookups, Source source);

/* The row, or NULL if there is none (or the id is NULL, or was not fetched). */
extern const Row *lookups_get(const Lookups *lookups, Source source, Text id);

/* The role of active members, for these pairs; kept and asked for likewise. */
extern void lookups_want_role(Lookups *lookups, Text workspace_id, Oid workspace_type,
							  Text user_id, Oid user_type);
extern void lookups_fetch_roles(Lookups *lookups);
extern Text lookups_role(const Lookups *lookups, Text workspace_id, Text user_id);

/* The base type of a source's column as it is bound; InvalidOid if it is none. */
extern Oid lookups_column_type(Lookups *lookups, Source source, int column);

/* text[] of these */
extern Datum lookups_text_array(const Text *texts, int count);

/*
 * Becomes who may read the table bound as this source, as binding_append_rows() has
 * it: its owner, or the extension where the binding calls functions that are not
 * PostgreSQL's own (rows.h); under safe settings where the binding's expressions
 * depend on them.  Until user_context_restore().
 */
extern void lookup_as_reader(UserContext *state, Source source);

#endif /* FEATUL_LOOKUP_H */
