/*
 * compat.h
 *		Differences between PostgreSQL 15 to 18, named by feature.
 */
#ifndef FEATUL_COMPAT_H
#define FEATUL_COMPAT_H

/*
 * A function that SQL calls: PG_FUNCTION_INFO_V1, exported although the library
 * hides all else (-fvisibility=hidden), which PostgreSQL 15 leaves to us.
 */
#define FEATUL_FUNCTION(name) \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

#endif							/* FEATUL_COMPAT_H */
