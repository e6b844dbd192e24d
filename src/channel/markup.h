/*
 * markup.h
 *		Texts written down so that a service shows them as they are, within its limits.
 */
#ifndef FEATUL_MARKUP_H
#define FEATUL_MARKUP_H

#include "lib/stringinfo.h"

/* How one kind of text object of a service takes what it is given. */
typedef struct Markup
{
	bool utf16;		 /* its limits count UTF-16 units, else code points */
	bool plain_urls; /* bare URLs stand as they are, for they become links */

	/* Appends the character at c (bytes long) of a text; NULL: nothing has a meaning. */
	void (*append)(StringInfo out, const char *text, const char *c, int bytes);
} Markup;

/*
 * A copy of at most so many units, escapes and ellipsis included; neither a
 * character, an escape nor a bare URL that stands as it is is cut.
 */
extern char *markup_clipped(const Markup *markup, const char *utf8, int max);

/* Markup.append for Markdown in which these characters have a meaning anywhere. */
extern void markup_append_markdown(StringInfo out, const char *special, const char *text,
								   const char *c, int bytes);

/*
 * Appends a label that is Markdown already; as a link if what that adds fits into the
 * room (in bytes), which it takes up.
 */
extern void markup_append_link(StringInfo out, const char *label, const char *url,
							   int *room);

/* Appends "key":"text". */
extern void markup_append_key(StringInfo out, const char *key, const char *utf8);

#endif /* FEATUL_MARKUP_H */
