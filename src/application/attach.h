/*
 * attach.h
 *		integration_attach() and integration_detach(): which of the
 *		application's tables stand for what, and the triggers on them.
 */
#ifndef FEATUL_ATTACH_H
#define FEATUL_ATTACH_H

#include "application/source.h"

/*
 * Raises 42501 unless the current user owns the extension (or is a superuser);
 * for the functions that are for the owner only.
 */
extern void attach_require_owner(void);

/* 42501 unless the caller may read this table: what is bound can be read from payloads. */
extern void attach_require_select(Oid relid);

/*
 * What keeps changes of this table, bound as this source, from being captured: a
 * trigger on it or on a partition of it that is not there; or from being made: a foreign
 * table below it.  NULL: nothing.
 */
extern char *attach_trigger_problem(Source source, Oid relid);

#endif /* FEATUL_ATTACH_H */
