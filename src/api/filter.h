/*
 * filter.h
 *		What an integration wants to hear about: events, boards and a rule.
 *
 * NULL means all, everywhere.  What does not make sense raises PT400.
 */
#ifndef FEATUL_FILTER_H
#define FEATUL_FILTER_H

#include "utils/array.h"

extern void filter_check_event(const char *name);

/* Known event names, each once, in the given order. */
extern ArrayType *filter_events(ArrayType *events);

/*
 * The ids of the workspace's boards with these slugs.  Needs an SPI connection
 * and an attached application.
 */
extern ArrayType *filter_boards(ArrayType *slugs, const char *workspace_id);

/* Checks that a rule is not empty: all that a look tells. */
extern void filter_check_rule(const char *rule);

/*
 * Checks that a rule is cheap to evaluate whatever the payload, and is true or false for some
 * event's sample payload: by trying it out.  Needs an SPI connection.
 */
extern void filter_try_rule(const char *rule);

/* Checks the form alone. */
extern void filter_check_slugs(ArrayType *slugs);

/* For messages: at most so many bytes of what a user gave (palloc'd). */
extern char *filter_clipped(const char *text);

#endif /* FEATUL_FILTER_H */
