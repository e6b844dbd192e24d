/*
 * attach.h
 *		integration_attach() and integration_detach(): which of the
 *		application's tables stand for what, and the triggers on them.
 */
#ifndef FEATUL_ATTACH_H
#define FEATUL_ATTACH_H

/*
 * Raises 42501 unless the current user owns the extension (or is a superuser);
 * for the functions that are for the owner only.
 */
extern void attach_require_owner(void);

#endif /* FEATUL_ATTACH_H */
