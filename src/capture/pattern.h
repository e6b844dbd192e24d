/*
 * pattern.h
 *		What a regular expression may cost.
 */
#ifndef FEATUL_PATTERN_H
#define FEATUL_PATTERN_H

/* In instructions, or nearly so; upper bounds. */
typedef struct PatternCost
{
	double compile;
	double per_string; /* each string that it is matched against, however short */
	double per_byte;   /* of that string */
} PatternCost;

/*
 * What can be said against a pattern before it is compiled, which may take long; NULL if
 * nothing.  Adds how many characters it has with its repetitions written out.
 */
extern const char *pattern_objection(const char *pattern, int length, bool ignores_case,
									 int *atoms);

/*
 * Judges a pattern with these flags (of jsonpath's like_regex).  NULL, or why it is
 * not to be used.  Raises what the regular expression's compiler raises.
 */
extern const char *pattern_judge(const char *pattern, int length, uint32 xflags,
								 PatternCost *cost);

#endif /* FEATUL_PATTERN_H */
