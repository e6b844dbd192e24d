/*
 * utility_hook.h
 *		Statements that create, drop or change a whole database or the extension.
 */
#ifndef FEATUL_UTILITY_HOOK_H
#define FEATUL_UTILITY_HOOK_H

/* Installs the hooks; called from _PG_init while preloading. */
extern void utility_hook_init(void);

#endif /* FEATUL_UTILITY_HOOK_H */
