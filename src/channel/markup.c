/*
 * markup.c
 *		Texts written down so that a service shows them as they are.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "base/text.h"
#include "base/unicode.h"
#include "channel/markup.h"
#include "channel/plain.h"

/* What counts for a service's limits. */
static int
count_units(const Markup *markup, const char *utf8)
{
	int units = text_utf16_units(utf8);

	if (!markup->utf16)
		for (; *utf8; utf8++)
			units -= (unsigned char) *utf8 >= 0xF0; /* a surrogate pair */
	return units;
}

/* See markup.h. */
char *
markup_clipped(const Markup *markup, const char *utf8, int max)
{
	StringInfoData out;
	int			   units = 0;
	int			   kept = 0; /* bytes that leave room for the ellipsis */
	int			   bytes;

	initStringInfo(&out);
	for (const char *c = utf8; *c; c += bytes)
	{
		int start = out.len;
		int url = markup->plain_urls ? plain_url_length(utf8, c) : 0;

		bytes = url > 0 ? url : pg_utf_mblen((const unsigned char *) c);
		if (url > 0 || markup->append == NULL)
			appendBinaryStringInfo(&out, c, bytes);
		else
			markup->append(&out, utf8, c, bytes);
		units += count_units(markup, out.data + start);
		if (units > max)
		{
			out.len = kept;
			out.data[kept] = '\0';
			appendStringInfoString(&out, ELLIPSIS);
			break;
		}
		if (units < max)
			kept = out.len;
	}
	return out.data;
}

/*
 * True if Markdown could take this for the start of a heading or a list: the
 * first that is seen of its line, or after a number that is.
 */
static bool
opens_block(const char *text, const char *c)
{
	const char *start = c;

	if (strchr("#-+.)", *c) == NULL)
		return false;
	while (start > text && start[-1] != '\n')
		start--;
	while (start < c && (unicode_properties(start) & CHARACTER_UNSEEN))
		start += pg_utf_mblen((const unsigned char *) start);
	if (*c == '.' || *c == ')')
		return start < c && start + strspn(start, "0123456789") == c;
	return start == c;
}

/*
 * See markup.h.  A backslash before any punctuation of ASCII is not shown
 * (CommonMark 0.31, 2.4).
 */
void
markup_append_markdown(StringInfo out, const char *special, const char *text,
					   const char *c, int bytes)
{
	if (strchr(special, *c) || opens_block(text, c))
		appendStringInfoChar(out, '\\');
	appendBinaryStringInfo(out, c, bytes);
}

/* See markup.h.  Parentheses would end the link too early. */
void
markup_append_link(StringInfo out, const char *label, const char *url, int *room)
{
	int	   start = out->len;
	size_t added;

	appendStringInfo(out, "[%s](", label);
	for (const char *c = url; *c; c++)
	{
		if (*c == '(' || *c == ')')
			appendStringInfo(out, "%%%02X", *c);
		else
			appendStringInfoChar(out, *c);
	}
	appendStringInfoChar(out, ')');
	added = out->len - start - strlen(label);
	if (added <= *room)
	{
		*room -= added;
		return;
	}
	out->len = start;
	out->data[start] = '\0';
	appendStringInfoString(out, label);
}

/* See markup.h. */
void
markup_append_key(StringInfo out, const char *key, const char *utf8)
{
	appendStringInfo(out, "\"%s\":", key);
	text_append_json(out, utf8);
}
