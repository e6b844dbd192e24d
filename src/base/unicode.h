/*
 * unicode.h
 *		Properties of characters that no list of examples would cover.
 */
#ifndef FEATUL_UNICODE_H
#define FEATUL_UNICODE_H

/* Bits by character; see unicode_table.pl for which. */
#define CHARACTER_UNSEEN                                                                 \
	0x01 /* nothing of it can be seen: space, control, format, filler */
#define CHARACTER_SPACE 0x02   /* white space */
#define CHARACTER_BREAK 0x04   /* ends a line */
#define CHARACTER_CONTROL 0x08 /* has no meaning in a text */
#define CHARACTER_BIDI 0x10	   /* turns what follows around, until it is closed */

/* The properties of the character that valid UTF-8 starts with. */
extern int unicode_properties(const char *utf8);

#endif /* FEATUL_UNICODE_H */
