/*
 * plain.c
 *		Users' texts as chat messages show them.
 *
 * Characters are judged by their Unicode properties (base/unicode.h), never by a
 * list of examples.  Escaping is markup.c's.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "base/unicode.h"
#include "channel/plain.h"

/* See plain.h. */
bool
plain_is_blank(const char *utf8)
{
	for (; *utf8; utf8 += pg_utf_mblen((const unsigned char *) utf8))
		if ((unicode_properties(utf8) & CHARACTER_UNSEEN) == 0)
			return false;
	return true;
}

static bool
is_ascii_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		   c == '_';
}

/* True for what ends a bare URL; the end of the text does too. */
static bool
ends_url(const char *c)
{
	return *c == '\0' || *c == '<' || *c == '>' ||
		   (unicode_properties(c) & CHARACTER_SPACE);
}

/* See plain.h. */
int
plain_url_length(const char *text, const char *c)
{
	const char *end;

	/* no part of a longer word */
	if (strncmp(c, "http", 4) != 0 || (c > text && is_ascii_word(c[-1])))
		return 0;
	end = c + (c[4] == 's' ? 5 : 4);
	if (strncmp(end, "://", 3) != 0)
		return 0;
	end += 3;
	if (ends_url(end))
		return 0;
	while (!ends_url(end))
		end += pg_utf_mblen((const unsigned char *) end);
	return end - c;
}

/*
 * Where a text that is one code point too long is to end: one before its last, or
 * before the URL in which that lies, unless nothing would be left.
 */
static int
cut_position(const char *text, const char *last)
{
	for (const char *c = text; c < last; c += pg_utf_mblen((const unsigned char *) c))
		if (c > text && c + plain_url_length(text, c) > last)
			return c - text;
	return last - text;
}

/* Ends the text there, with an ellipsis instead of the white space before it. */
static void
end_with_ellipsis(StringInfo out, int position)
{
	while (position > 0 &&
		   (out->data[position - 1] == ' ' || out->data[position - 1] == '\n'))
		position--;
	out->len = position;
	out->data[position] = '\0';
	appendStringInfoString(out, ELLIPSIS);
}

/* White space and breaks that wait for something to stand between. */
typedef struct Gap
{
	bool space;
	int	 breaks;
} Gap;

/* Appends what a gap is shown as; returns how many characters. */
static int
append_gap(StringInfo out, const Gap *gap, bool keeps_breaks)
{
	int breaks = keeps_breaks ? Min(gap->breaks, 2) : 0;

	if (out->len == 0 || (gap->breaks == 0 && !gap->space))
		return 0;
	for (int i = 0; i < breaks; i++)
		appendStringInfoChar(out, '\n');
	if (breaks == 0)
		appendStringInfoChar(out, ' ');
	return Max(breaks, 1);
}

/* What both kinds of excerpt do. */
static char *
shortened(const char *utf8, int max_code_points, bool keeps_breaks)
{
	StringInfoData out;
	Gap			   gap = { 0 };
	int			   count = 0;
	int last = -1; /* where the code point starts that the ellipsis would replace */

	initStringInfo(&out);
	while (*utf8)
	{
		int size = pg_utf_mblen((const unsigned char *) utf8);
		int properties = unicode_properties(utf8);

		if (properties & CHARACTER_BREAK)
			gap.breaks += utf8[0] != '\r' || utf8[1] != '\n';
		else if (*utf8 == ' ' || (properties & CHARACTER_CONTROL))
			gap.space = true;
		else if ((properties & CHARACTER_BIDI) == 0)
		{
			int before = out.len;

			count += append_gap(&out, &gap, keeps_breaks) + 1;
			memset(&gap, 0, sizeof(gap));
			if (count >= max_code_points && last < 0)
				last = count == max_code_points ? out.len : before;
			appendBinaryStringInfo(&out, utf8, size);
			if (count > max_code_points)
			{
				end_with_ellipsis(&out, cut_position(out.data, out.data + last));
				break;
			}
		}
		utf8 += size;
	}
	return out.data;
}

/* See plain.h. */
char *
plain_line(const char *utf8, int max_code_points)
{
	return shortened(utf8, max_code_points, false);
}

/* See plain.h. */
char *
plain_excerpt(const char *utf8, int max_code_points)
{
	return shortened(utf8, max_code_points, true);
}
