/*
 * rule.h
 *		Rules of integrations: jsonpath predicates over the payload, bounded in what
 *		they may cost.
 *
 * A rule runs inside the application's statements, so what it costs is judged before
 * it is ever run, from what it says alone, for the largest payload there can be.
 */
#ifndef FEATUL_RULE_H
#define FEATUL_RULE_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

/*
 * Reads a rule, in the current memory context.  NULL, and *objection says why (in a sentence
 * for people), where it could cost too much.  Raises what is no jsonpath, and no more.
 */
extern JsonPath *rule_read(const char *text, const char **objection);

/* Likewise, for one that may have been read before in this process: without judging it again. */
extern JsonPath *rule_read_again(const char *text, const char **objection);

/* Whether the payload fulfils it; what is neither true nor false does not. */
extern bool rule_accepts(JsonPath *rule, Jsonb *payload);

#endif /* FEATUL_RULE_H */
