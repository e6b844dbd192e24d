/*
 * plain.h
 *		Users' texts as chat messages show them: what can be seen of them, and how much.
 *
 * All UTF-8, palloc'd.  What turns the direction of writing around is left out,
 * lest it do so with our own words too; control characters count as spaces.
 */
#ifndef FEATUL_PLAIN_H
#define FEATUL_PLAIN_H

#define ELLIPSIS "\xE2\x80\xA6" /* U+2026 */

/* True if nothing can be seen of it: services refuse such a text as empty. */
extern bool plain_is_blank(const char *utf8);

/* On one line, with spaces folded: at most so many code points, the ellipsis included. */
extern char *plain_line(const char *utf8, int max_code_points);

/*
 * Likewise with its line breaks, of which no more than two follow one another.  Where
 * the limit falls inside a URL, it is left out as a whole.
 */
extern char *plain_excerpt(const char *utf8, int max_code_points);

/*
 * Bytes of the bare URL that starts at c within a text: http:// or https:// and all
 * up to white space, < or >; 0 if there is none.
 */
extern int plain_url_length(const char *text, const char *c);

#endif /* FEATUL_PLAIN_H */
