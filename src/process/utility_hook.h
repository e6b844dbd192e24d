/*
 * utility_hook.h
 *		Statements that create, drop or change a whole database or the extension.
 */
#ifndef FEATUL_DATABASES_H
#define FEATUL_DATABASES_H

/* Installs the hooks; called from _PG_init while preloading. */
extern void databases_init(void);

#endif /* FEATUL_DATABASES_H */
