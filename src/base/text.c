/*
 * text.c
 *		Texts on their way from the database to the wire.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/text.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* See text.h. */
Text
text_of(const char *string)
{
	Text text = { string, string ? strlen(string) : 0, false };

	return text;
}

/* See text.h. */
Text
text_of_datum(Datum datum)
{
	struct varlena *original = (struct varlena *) DatumGetPointer(datum);
	struct varlena *value;
	char		   *copy;
	Text			text = { 0 };

	if (toast_raw_datum_size(datum) - VARHDRSZ > TEXT_MAX_BYTES)
	{
		value = pg_detoast_datum_slice(original, 0, TEXT_MAX_BYTES);
		text.cut = true;
	}
	else
		value = pg_detoast_datum_packed(original);
	text.length = VARSIZE_ANY_EXHDR(value);
	copy = palloc(text.length + 1);
	memcpy(copy, VARDATA_ANY(value), text.length);
	copy[text.length] = '\0';
	if (value != original)
		pfree(value);
	text.data = copy;
	if (text.cut) /* the slice may end within a character */
		text.length = pg_mbcliplen(text.data, text.length, text.length);
	return text;
}

/* Writes a number with at least so many digits and what follows it; returns the end. */
static char *
append_digits(char *out, uint32 number, int digits, char separator)
{
	out = pg_ultostr_zeropad(out, number, digits);
	*out++ = separator;
	return out;
}

/* See text.h. */
Text
text_of_timestamp(TimestampTz timestamp)
{
	struct pg_tm tm;
	fsec_t		 fsec;
	char		*text;
	char		*end;

	if (TIMESTAMP_NOT_FINITE(timestamp) ||
		timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
		return text_of(NULL);
	end = text = palloc(MAXDATELEN + 1);
	if (tm.tm_year < 0)
		*end++ = '-';
	end = append_digits(end, abs(tm.tm_year), 4, '-');
	end = append_digits(end, tm.tm_mon, 2, '-');
	end = append_digits(end, tm.tm_mday, 2, 'T');
	end = append_digits(end, tm.tm_hour, 2, ':');
	end = append_digits(end, tm.tm_min, 2, ':');
	end = append_digits(end, tm.tm_sec, 2, 'Z');
	*end = '\0';
	return text_of(text);
}

/* Bytes of the valid UTF-8 character at data; 0 if there is none. */
static int
utf8_character(const unsigned char *data, int length)
{
	int size = pg_utf_mblen(data);

	return size <= length && pg_utf8_islegal(data, size) && *data != '\0' ? size : 0;
}

/* Copies with every invalid byte replaced by U+FFFD. */
static char *
utf8_repaired(const char *data, int length)
{
	StringInfoData out;

	initStringInfo(&out);
	while (length > 0)
	{
		int size = utf8_character((const unsigned char *) data, length);

		if (size > 0)
			appendBinaryStringInfo(&out, data, size);
		else
		{
			appendStringInfoString(&out, REPLACEMENT);
			size = 1;
		}
		data += size;
		length -= size;
	}
	return out.data;
}

/* See text.h. */
char *
text_sanitized(const char *data, int length)
{
	return GetDatabaseEncoding() == PG_SQL_ASCII ? utf8_repaired(data, length)
												 : pnstrdup(data, length);
}

/*
 * Converts as far as it goes, with a replacement for each character that has
 * no counterpart.  Needs a transaction (catalog look-up of the conversion).
 */
static char *
converted(const char *data, int length, int from, int to, const char *replacement)
{
	Oid	  procedure = FindDefaultConversionProc(from, to);
	int	  room = length * MAX_CONVERSION_GROWTH + 1;
	char *out = palloc(room);
	int	  used = 0;

	while (length > 0)
	{
		int done = 0;

		if (OidIsValid(procedure))
			done = pg_do_encoding_conversion_buf(
				procedure, from, to, (unsigned char *) unconstify(char *, data), length,
				(unsigned char *) out + used, room - used, true);
		used += strlen(out + used);
		data += done;
		length -= done;
		if (length > 0)
		{
			int size = Min(pg_encoding_mblen(from, data), length);
			int added = strlen(replacement);

			room += added;
			out = repalloc(out, room);
			memcpy(out + used, replacement, added + 1);
			used += added;
			data += size;
			length -= size;
		}
	}
	out[used] = '\0';
	return out;
}

/* See text.h. */
char *
text_to_utf8(const char *data, int length)
{
	switch (GetDatabaseEncoding())
	{
		case PG_UTF8:
			return pnstrdup(data, length);
		case PG_SQL_ASCII:
			return utf8_repaired(data, length);
		default:
			return converted(data, length, GetDatabaseEncoding(), PG_UTF8, REPLACEMENT);
	}
}

/* See text.h. */
char *
text_from_foreign(const char *data, int length, int max_characters)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int n = 0; length > 0 && n < max_characters; n++)
	{
		int size = utf8_character((const unsigned char *) data, length);

		if (size == 0)
		{
			appendStringInfoString(&out, REPLACEMENT);
			size = 1;
		}
		else if ((unsigned char) *data < ' ' && *data != '\n' && *data != '\t')
			appendStringInfoChar(&out, ' ');
		else
			appendBinaryStringInfo(&out, data, size);
		data += size;
		length -= size;
	}
	if (GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return out.data;
	return converted(out.data, out.len, PG_UTF8, GetDatabaseEncoding(), "?");
}

/* See text.h. */
void
text_append_item(StringInfo list, const char *item)
{
	if (list->len > 0)
		appendStringInfoString(list, ", ");
	appendStringInfoString(list, item);
}

/* See text.h. */
void
text_append_json(StringInfo out, const char *utf8)
{
	appendStringInfoCharMacro(out, '"');
	for (const char *c = utf8; *c; c++)
	{
		if (*c == '"' || *c == '\\')
		{
			appendStringInfoCharMacro(out, '\\');
			appendStringInfoCharMacro(out, *c);
		}
		else if (*c == '\n')
			appendStringInfoString(out, "\\n");
		else if ((unsigned char) *c < ' ')
			appendStringInfo(out, "\\u%04x", *c);
		else
			appendStringInfoCharMacro(out, *c);
	}
	appendStringInfoCharMacro(out, '"');
}

/* See text.h. */
int
text_utf16_units(const char *utf8)
{
	int count = 0;

	/* four bytes of UTF-8 are a surrogate pair */
	for (; *utf8; utf8++)
		count += (*utf8 & 0xC0) == 0x80 ? 0 : ((unsigned char) *utf8 >= 0xF0 ? 2 : 1);
	return count;
}

/* See text.h. */
char *
text_json_get(Jsonb *json, const char *const *path)
{
	JsonbContainer *container = &json->root;
	JsonbValue		value = { .type = jbvNull };

	for (; *path; path++)
	{
		if (getKeyJsonValueFromContainer(container, *path, strlen(*path), &value) == NULL)
			return NULL;
		if (path[1] == NULL)
			break;
		if (value.type != jbvBinary)
			return NULL;
		container = value.val.binary.data;
	}
	switch (value.type)
	{
		case jbvString:
			return text_to_utf8(value.val.string.val, value.val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
		case jbvBool:
			return pstrdup(value.val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}
