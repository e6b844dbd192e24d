/*
 * version.h
 *		Which versions of the extension's SQL objects this library works with.
 */
#ifndef FEATUL_VERSION_H
#define FEATUL_VERSION_H

/*
 * 55000 with a hint if this database has the extension in a version that the library does
 * not know: it was updated without the library, or the library without a restart.
 * Needs a transaction.
 */
extern void version_check(void);

#endif /* FEATUL_VERSION_H */
