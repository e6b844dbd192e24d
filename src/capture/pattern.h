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
 * Judges a pattern with these flags (of jsonpath's like_regex).  NULL, or why it is
 * not to be used.  Raises what the regular expression's compiler raises.
 */
extern const char *pattern_judge(const char *pattern, int length, uint32 xflags,
								 PatternCost *cost);

#endif /* FEATUL_PATTERN_H */
