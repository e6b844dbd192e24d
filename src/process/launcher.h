/*
 * launcher.h
 *		Finds the databases that have the extension and keeps their workers.
 */
#ifndef FEATUL_LAUNCHER_H
#define FEATUL_LAUNCHER_H

/* Registers the launcher; called from _PG_init while preloading. */
extern void launcher_register(void);

extern PGDLLEXPORT void featul_integrations_launcher_main(Datum unused);

#endif /* FEATUL_LAUNCHER_H */
